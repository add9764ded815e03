"""The registered application commands: Discord's checks on them, and who can see them where.

https://discord.com/developers/docs/interactions/application-commands
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import IntEnum
from typing import Any

from bot.standin.entities import Channel, Guild, Json, Permission, Role, User
from bot.standin.errors import invalid_form

SLASH, USER, MESSAGE = 1, 2, 3


class OptionType(IntEnum):
    SUBCOMMAND = 1
    GROUP = 2
    STRING = 3
    INTEGER = 4
    BOOLEAN = 5
    USER = 6
    CHANNEL = 7
    ROLE = 8
    MENTIONABLE = 9
    NUMBER = 10
    ATTACHMENT = 11


SUBCOMMANDS = {OptionType.SUBCOMMAND, OptionType.GROUP}
VALUE_TYPES: dict[int, type | tuple[type, ...]] = {
    OptionType.STRING: str,
    OptionType.INTEGER: int,
    OptionType.NUMBER: (int, float),
}
"""The option types that can have choices or autocomplete, with the Python types of their values."""

_IN_SERVER, _IN_DM = 0, 1
_NAME = re.compile(r"[-_'\w]{1,32}")
_MOST = {SLASH: 100, USER: 15, MESSAGE: 15}

Problems = dict[str, tuple[str, str]]


class CommandBook:
    """The registered commands by scope. `puts` counts the calls of `replace`. The scope None is global."""

    def __init__(self, application_id: int, take_id: Callable[[], int]) -> None:
        self.puts = 0
        self._application_id = application_id
        self._take_id = take_id
        self._scopes: dict[int | None, dict[tuple[int, str], Json]] = {}
        self._permits: dict[tuple[int, str], dict[int, bool]] = {}

    def registered(self, scope: int | None) -> list[Json]:
        return list(self._scopes.get(scope, {}).values())

    def replace(self, scope: int | None, commands: Any) -> list[Json]:
        """Replace all commands of a scope (PUT).

        A command with the same name and type keeps its id. An unchanged command also keeps its version.
        """
        self.puts += 1
        commands = commands or []
        check(commands)
        old = self._scopes.get(scope, {})
        self._scopes[scope] = {}
        for command in commands:
            key = (command.get("type") or SLASH, command["name"])
            self._scopes[scope][key] = self._register(scope, command, old.get(key))
        return self.registered(scope)

    def add(self, scope: int | None, command: Json) -> Json:
        """Add one command (POST). The command replaces another one with the same name and type."""
        check([command])
        commands = self._scopes.setdefault(scope, {})
        key = (command.get("type") or SLASH, command["name"])
        commands[key] = self._register(scope, command, commands.get(key))
        return commands[key]

    def permit(self, name: str, who: Role | User, allowed: bool, guild: Guild) -> Json:
        """Set in a server's settings whether a role or a person may use a command, and return the command.

        Server settings override the `default_member_permissions` that the bot registered.
        """
        for scope in (guild.id, None):
            for command in self.registered(scope):
                if command["name"] == name:
                    self._permits.setdefault((guild.id, command["id"]), {})[who.id] = allowed
                    return command
        raise LookupError(f"there is no command {name!r}")

    def permits(self, command: Json, guild: Guild) -> dict[int, bool]:
        """Return a command's permissions in the server's settings: allowed or not, by the id of the role or person."""
        return self._permits.get((guild.id, command["id"]), {})

    def visible(self, user: User, channel: Channel, permissions: Permission) -> list[Json]:
        """List the commands that a person with these permissions sees in a channel, server commands first."""
        guild = channel.guild
        registered = [*(self.registered(guild.id) if guild else ()), *self.registered(None)]
        return [each for each in registered if self._finds(user, channel, permissions, each)]

    def _finds(self, user: User, channel: Channel, permissions: Permission, command: Json) -> bool:
        guild, contexts = channel.guild, command["contexts"]
        if guild is None:
            return bool(command["dm_permission"] if contexts is None else _IN_DM in contexts)
        if contexts is not None and _IN_SERVER not in contexts:
            return False
        if Permission.ADMINISTRATOR in permissions:
            return True
        if Permission.USE_APPLICATION_COMMANDS not in permissions:
            return False
        # A setting for the person overrides settings for roles. One allowed role is enough. @everyone counts last.
        permits = self.permits(command, guild)
        if user.id in permits:
            return permits[user.id]
        if said := [permits[role.id] for role in guild.members[user.id].roles if role.id in permits]:
            return any(said)
        if guild.id in permits:
            return permits[guild.id]
        needed = command["default_member_permissions"]
        # The value "0" means administrators only.
        return needed is None or (needed != "0" and Permission(int(needed)) in permissions)

    def _register(self, scope: int | None, command: Json, old: Json | None) -> Json:
        permissions = command.get("default_member_permissions")
        body: Json = {
            "description": "",
            "type": SLASH,
            "contexts": None,
            "integration_types": [0],
            "nsfw": False,
            "dm_permission": True,
            **{key: value for key, value in command.items() if value is not None},
            "id": old["id"] if old else str(self._take_id()),
            "application_id": str(self._application_id),
            "default_member_permissions": None if permissions is None else str(permissions),
        }
        if scope is not None:
            body["guild_id"] = str(scope)
        unchanged = old is not None and {**old, "version": ""} == {**body, "version": ""}
        body["version"] = old["version"] if old and unchanged else str(self._take_id())
        return body


def check(commands: list[Json]) -> None:
    """Raise error 50035 if Discord would refuse these commands."""
    problems: Problems = {}
    seen: set[tuple[int, str]] = set()
    for index, command in enumerate(commands):
        kind = command.get("type") or SLASH
        if (kind, command["name"]) in seen:
            problems[f"{index}"] = (
                "APPLICATION_COMMANDS_DUPLICATE_NAME",
                "Application command names must be unique",
            )
        seen.add((kind, command["name"]))
        if kind == SLASH:
            _check_named(command, f"{index}", problems)
            _check_options(command.get("options") or [], f"{index}", problems)
            if _size(command) > 8000:
                problems[f"{index}"] = ("APPLICATION_COMMAND_TOO_LARGE", "Command exceeds maximum size (8000)")
        elif not 1 <= len(command["name"]) <= 32:
            problems[f"{index}.name"] = _length(1, 32)
        elif command.get("description"):
            problems[f"{index}.description"] = (
                "APPLICATION_COMMAND_CONTEXT_MENU_DESCRIPTION_INVALID",
                "Context menu commands cannot have description",
            )
    for kind, most in _MOST.items():
        if sum(each[0] == kind for each in seen) > most:
            problems["_"] = ("BASE_TYPE_MAX_LENGTH", f"Maximum number of application commands reached ({most}).")
    if problems:
        raise invalid_form(problems)


def _check_named(it: Json, path: str, problems: Problems) -> None:
    if not _NAME.fullmatch(it["name"]) or it["name"] != it["name"].lower():
        problems[f"{path}.name"] = (
            "APPLICATION_COMMAND_INVALID_NAME",
            "Command name is invalid",
        )
    if not 1 <= len(it.get("description") or "") <= 100:
        problems[f"{path}.description"] = _length(1, 100)


def _check_options(options: list[Json], path: str, problems: Problems, depth: int = 0) -> None:
    if len(options) > 25:
        problems[f"{path}.options"] = _length(0, 25)
    if len({option["name"] for option in options}) < len(options):
        problems[f"{path}.options"] = ("APPLICATION_COMMAND_OPTIONS_NAME_DUPLICATE", "Option names must be unique")
    if len({option["type"] in SUBCOMMANDS for option in options}) > 1:
        problems[f"{path}.options"] = (
            "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID",
            "Sub-command and sub-command group option types are mutually exclusive to all other types",
        )
    optional = False
    for index, option in enumerate(options):
        here = f"{path}.options.{index}"
        _check_named(option, here, problems)
        if option["type"] in SUBCOMMANDS:
            # A group is allowed only directly in a command. A subcommand is allowed in a command or a group.
            if depth > (option["type"] == OptionType.SUBCOMMAND):
                problems[f"{here}.type"] = (
                    "APPLICATION_COMMAND_OPTIONS_TYPE_INVALID",
                    "Sub-commands and sub-command groups cannot be nested here",
                )
            _check_options(
                option.get("options") or [], here, problems, 2 if option["type"] == OptionType.SUBCOMMAND else 1
            )
            continue
        _check_values(option, here, problems)
        if option.get("required") and optional:
            problems[here] = (
                "APPLICATION_COMMAND_OPTIONS_REQUIRED_INVALID",
                "Required options must be placed before non-required options",
            )
        optional = optional or not option.get("required")


def _check_values(option: Json, path: str, problems: Problems) -> None:
    """Check an option's range, its choices and its autocomplete setting."""
    choices, kind = option.get("choices") or [], option["type"]
    if option.get("autocomplete") and (choices or kind not in VALUE_TYPES):
        problems[f"{path}.autocomplete"] = (
            "APPLICATION_COMMAND_OPTIONS_AUTOCOMPLETE_INVALID",
            "Only options of text and numbers without choices can be completed",
        )
    if not 0 <= (option.get("min_length") or 0) <= (option.get("max_length") or 6000) <= 6000:
        problems[f"{path}.max_length"] = _length(1, 6000)
    check_choices(choices, kind, f"{path}.choices", problems)


def check_choices(choices: list[Json], kind: int, path: str, problems: Problems) -> None:
    """Check that there are at most 25 choices, with names and with values of the option's type."""
    if len(choices) > 25:
        problems[path] = _length(0, 25)
    for index, choice in enumerate(choices):
        value = choice.get("value")
        if not 1 <= len(choice.get("name") or "") <= 100:
            problems[f"{path}.{index}.name"] = _length(1, 100)
        if not isinstance(value, VALUE_TYPES.get(kind, ())):
            problems[f"{path}.{index}.value"] = ("BASE_TYPE_BAD_TYPE", "The value is of another type than the option")
        elif isinstance(value, str) and len(value) > 100:
            problems[f"{path}.{index}.value"] = _length(0, 100)


def _size(it: Json) -> int:
    """Count the characters of names, descriptions and values at every level, as Discord does."""
    own = sum(len(text) for key in ("name", "description", "value") if isinstance(text := it.get(key), str))
    return own + sum(_size(each) for key in ("options", "choices") for each in it.get(key) or ())


def _length(least: int, most: int) -> tuple[str, str]:
    return "BASE_TYPE_BAD_LENGTH", f"Must be between {least} and {most} in length."
