"""Fills in command options, select menus and form fields as Discord's client does, with the client's checks.

A LookupError means an unknown subcommand, option, field or person, or a required option that is missing. A ValueError
means a value that the option or field does not accept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bot.standin import message_payloads, payloads
from bot.standin.answers import LONGEST_INPUT, TEXT_INPUT
from bot.standin.cdn import Cdn
from bot.standin.commands import SUBCOMMANDS, OptionType
from bot.standin.entities import Attachment, Channel, ChannelType, Json, Permission, Role, User
from bot.standin.world import World

_MOST_TEXT = 6000
_MOST_NUMBER = 2**53
_STRING_SELECT, _USER_SELECT, _ROLE_SELECT, _MENTIONABLE_SELECT, _CHANNEL_SELECT = 3, 5, 6, 7, 8
_SELECTED = {
    _USER_SELECT: OptionType.USER,
    _ROLE_SELECT: OptionType.ROLE,
    _MENTIONABLE_SELECT: OptionType.MENTIONABLE,
    _CHANNEL_SELECT: OptionType.CHANNEL,
}
_BY_ID = {OptionType.USER, OptionType.CHANNEL, OptionType.ROLE, OptionType.MENTIONABLE, OptionType.ATTACHMENT}


def within(command: Json, path: Iterable[str]) -> Json:
    """Return the subcommand at `path`. An empty path returns the command itself."""
    found = command
    for step in path:
        below = [each for each in found.get("options") or () if each["type"] in SUBCOMMANDS]
        found = next((each for each in below if each["name"] == step), {})
        if not found:
            raise LookupError(f"/{command['name']} has no subcommand {step!r}")
    if any(each["type"] in SUBCOMMANDS for each in found.get("options") or ()):
        raise LookupError(f"/{command['name']} needs a subcommand")
    return found


def nested(command: Json, path: list[str], filled: list[Json]) -> list[Json]:
    """Nest a subcommand's filled-in options inside the options of its command."""
    if not path:
        return filled
    step = next(each for each in command["options"] if each["name"] == path[0])
    return [{"name": step["name"], "type": step["type"], "options": nested(step, path[1:], filled)}]


class Options:
    """Fills in command options for one person in one channel."""

    def __init__(self, world: World, cdn: Cdn, user: User, channel: Channel) -> None:
        self._world = world
        self._cdn = cdn
        self._user = user
        self._channel = channel

    def complete(self, command: Json, values: Mapping[str, Any]) -> tuple[list[Json], Json]:
        """Fill in a command for sending. Return its options and the data of the entities that they name."""
        known = _known(command, values)
        if missing := [name for name, each in known.items() if each.get("required") and name not in values]:
            raise LookupError(f"{command['name']} needs {missing}")
        named = {name: self._named(known[name], value) for name, value in values.items()}
        resolved = self.resolved(named.values())
        return [_sent(known[name], value) for name, value in named.items()], resolved

    def partial(self, command: Json, values: Mapping[str, Any], focused: str) -> list[Json]:
        """Fill in a half-typed command without checking its values. `focused` is the option that asks for choices."""
        known = _known(command, values)
        if not known.get(focused, {}).get("autocomplete"):
            raise LookupError(f"{command['name']} completes no option {focused!r}")
        typed = {focused: "", **values}
        sent = [_sent(known[name], value) for name, value in typed.items()]
        return [each | {"focused": True} if each["name"] == focused else each for each in sent]

    def resolved(self, values: Iterable[object]) -> Json:
        """Return the full data of the people, channels, roles and files among the values."""
        world, guild = self._world, self._channel.guild
        body: Json = {}
        for value in values:
            match value:
                case User():
                    body.setdefault("users", {})[str(value.id)] = payloads.user(value)
                    if guild and (member := guild.members.get(value.id)):
                        permissions = str(int(world.permissions(value, self._channel)))
                        shown = payloads.member(member, with_user=False) | {"permissions": permissions}
                        body.setdefault("members", {})[str(value.id)] = shown
                case Channel():
                    permissions = str(int(world.permissions(self._user, value)))
                    shown = payloads.channel(value) | {"permissions": permissions}
                    body.setdefault("channels", {})[str(value.id)] = shown
                case Role():
                    body.setdefault("roles", {})[str(value.id)] = payloads.role(value)
                case Attachment():
                    # A file is uploaded with the command, and is not part of any message.
                    stored = self._cdn.store(value, self._channel)
                    body.setdefault("attachments", {})[str(stored.id)] = message_payloads.attachment(stored)
        return body

    def selected(self, menu: Json, values: Sequence[str]) -> Json:
        """Choose from a select menu: the values, and the data of the people, channels and roles that are chosen."""
        least, most = menu.get("min_values", 1), menu.get("max_values", 1)
        if not least <= len(set(values)) == len(values) <= most:
            raise ValueError(f"{menu['custom_id']} takes {least} to {most} values, not {values}")
        if menu["type"] == _STRING_SELECT:
            if strange := set(values) - {option["value"] for option in menu["options"]}:
                raise ValueError(f"{menu['custom_id']} does not offer {sorted(strange)}")
            return {"values": list(values)}
        kind = _SELECTED.get(menu["type"])
        if kind is None:
            raise ValueError(f"{menu['custom_id']} is no select menu")
        option = {"name": menu["custom_id"], "type": kind, "channel_types": menu.get("channel_types")}
        chosen = [self._named(option, self._entity(int(value))) for value in values]
        return {"values": list(values), "resolved": self.resolved(chosen)}

    def _entity(self, id_: int) -> object:
        guild, world = self._channel.guild, self._world
        return world.channels.get(id_) or world.users.get(id_) or (guild.roles.get(id_) if guild else None)

    def _named(self, option: Json, value: Any) -> Any:
        """Check an option's value and replace a user id with the user. Users who left the server are accepted."""
        kind = option["type"]
        if kind in (OptionType.USER, OptionType.MENTIONABLE) and isinstance(value, int):
            if value not in self._world.users:
                raise LookupError(f"nobody has the id {value}")
            value = self._world.users[value]
        if not self._takes(option, value):
            raise ValueError(f"{option['name']} does not take {value!r}")
        return value

    def _takes(self, option: Json, value: Any) -> bool:
        if option.get("choices"):
            return any(value == each["value"] for each in option["choices"])
        match option["type"]:
            case OptionType.STRING:
                length = len(value) if isinstance(value, str) else -1
                return max(option.get("min_length") or 0, 1) <= length <= (option.get("max_length") or _MOST_TEXT)
            case OptionType.INTEGER | OptionType.NUMBER as kind:
                numbers = (int,) if kind == OptionType.INTEGER else (int, float)
                if not isinstance(value, numbers) or isinstance(value, bool):
                    return False
                least, most = option.get("min_value", -_MOST_NUMBER), option.get("max_value", _MOST_NUMBER)
                return bool(least <= value <= most)
            case OptionType.BOOLEAN:
                return isinstance(value, bool)
            case OptionType.USER:
                return isinstance(value, User)
            case OptionType.CHANNEL:
                return isinstance(value, Channel) and self._offers(value, option.get("channel_types"))
            case OptionType.ROLE:
                return self._has_role(value)
            case OptionType.MENTIONABLE:
                return isinstance(value, User) or self._has_role(value)
            case OptionType.ATTACHMENT:
                return isinstance(value, Attachment)
        return False

    def _has_role(self, value: object) -> bool:
        guild = self._channel.guild
        return isinstance(value, Role) and guild is not None and value.id in guild.roles

    def _offers(self, channel: Channel, types: list[ChannelType] | None) -> bool:
        """Tell whether an option offers a channel. It must be in this server, visible and of a suitable type."""
        here = channel.guild is not None and channel.guild is self._channel.guild
        seen = Permission.VIEW_CHANNEL in self._world.permissions(self._user, channel)
        return here and seen and (not types or channel.type in types)


def filled(form: Json, fields: Mapping[str, str]) -> list[Json]:
    """Return a form's components with the given texts, by custom id. Other fields keep their own text."""
    components = _filled(form["components"], fields)
    inside = [inner for each in components for inner in (each.get("component"), *each.get("components", ()))]
    if strange := fields.keys() - {each.get("custom_id") for each in inside if each}:
        raise LookupError(f"the form has no field {sorted(strange)}")
    return components


def _filled(components: list[Json], fields: Mapping[str, str]) -> list[Json]:
    """Fill in the text inputs of components. A text input is inside a row or a label."""
    sent: list[Json] = []
    for number, component in enumerate(components, start=1):
        body: Json = {"type": component["type"], "id": component.get("id", number)}
        if "components" in component:
            body["components"] = _filled(component["components"], fields)
        if "component" in component:
            body["component"] = _filled([component["component"]], fields)[0]
        if component["type"] == TEXT_INPUT:
            body |= {"custom_id": component["custom_id"], "value": _text(component, fields)}
        sent.append(body)
    return sent


def _text(field: Json, fields: Mapping[str, str]) -> str:
    text = fields.get(field["custom_id"], field.get("value") or "")
    required = field.get("required") is not False
    least, most = max(field.get("min_length") or 0, required), field.get("max_length") or LONGEST_INPUT
    if len(text) > most or (len(text) < least and (text or required)):
        raise ValueError(f"{field['custom_id']} takes {least} to {most} characters, not {len(text)}")
    return text


def _known(command: Json, values: Mapping[str, Any]) -> dict[str, Json]:
    known = {each["name"]: each for each in command.get("options") or ()}
    if strange := values.keys() - known.keys():
        raise LookupError(f"{command['name']} has no option {sorted(strange)}")
    return known


def _sent(option: Json, value: Any) -> Json:
    if option["type"] in _BY_ID:
        value = str(getattr(value, "id", value))
    return {"name": option["name"], "type": option["type"], "value": value}
