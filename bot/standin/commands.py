"""The application commands that a bot has registered, globally and per server, and what Discord accepts as one.

https://discord.com/developers/docs/interactions/application-commands
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from bot.standin.entities import Json
from bot.standin.errors import invalid_form

SLASH, USER, MESSAGE = 1, 2, 3

_NAME = re.compile(r"[-_'\w]{1,32}")
_MOST = {SLASH: 100, USER: 15, MESSAGE: 15}
_SUBCOMMANDS = {1, 2}

Problems = dict[str, tuple[str, str]]


class CommandBook:
    """`puts` counts how often the bot has replaced a scope's commands; scope None is global."""

    def __init__(self, application_id: int, take_id: Callable[[], int]) -> None:
        self.puts = 0
        self._application_id = application_id
        self._take_id = take_id
        self._scopes: dict[int | None, dict[tuple[int, str], Json]] = {}

    def registered(self, scope: int | None) -> list[Json]:
        return list(self._scopes.get(scope, {}).values())

    def replace(self, scope: int | None, commands: Any) -> list[Json]:
        """PUT: what keeps its name and type keeps its id, and without a change its version too."""
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
        """POST: one command more, or in place of its namesake."""
        check([command])
        commands = self._scopes.setdefault(scope, {})
        key = (command.get("type") or SLASH, command["name"])
        commands[key] = self._register(scope, command, commands.get(key))
        return commands[key]

    def find(self, name: str, kind: int, guild_id: int | None) -> Json | None:
        """What a person finds under that name; a server's own commands come first."""
        for scope in (guild_id, None):
            if command := self._scopes.get(scope, {}).get((kind, name)):
                return command
        return None

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
    """Refuse with 50035 what Discord refuses."""
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
            if len(json.dumps(command)) > 8000:
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


def _check_options(options: list[Json], path: str, problems: Problems) -> None:
    if len(options) > 25:
        problems[f"{path}.options"] = _length(0, 25)
    if len({option["name"] for option in options}) < len(options):
        problems[f"{path}.options"] = ("APPLICATION_COMMAND_OPTIONS_NAME_DUPLICATE", "Option names must be unique")
    optional = False
    for index, option in enumerate(options):
        here = f"{path}.options.{index}"
        _check_named(option, here, problems)
        if len(option.get("choices") or []) > 25:
            problems[f"{here}.choices"] = _length(0, 25)
        if option["type"] in _SUBCOMMANDS:
            _check_options(option.get("options") or [], here, problems)
        elif option.get("required") and optional:
            problems[here] = (
                "APPLICATION_COMMAND_OPTIONS_REQUIRED_INVALID",
                "Required options must be placed before non-required options",
            )
        optional = optional or not option.get("required")


def _length(least: int, most: int) -> tuple[str, str]:
    return "BASE_TYPE_BAD_LENGTH", f"Must be between {least} and {most} in length."
