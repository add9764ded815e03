"""The world as one person sees it, in JSON for the page. Rendered message parts are cached for each content."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from functools import lru_cache
from html import escape
from urllib.parse import quote, urlsplit

from bot.playground import access
from bot.playground.forms import offered
from bot.playground.private import Private
from bot.playground.rendering import render, render_line
from bot.playground.uploads import MAX_BYTES
from bot.standin.commands import SUBCOMMANDS, OptionType
from bot.standin.entities import Attachment, Channel, ChannelType, Json, Message, MessageType, User, walk_components
from bot.standin.rules import MAX_CONTENT, MAX_FILES
from bot.standin.server import DiscordStandin

PAGE = 50
"""Number of messages in one answer."""
SAFE_IMAGES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
"""Image types that the browser may display. None of them can contain a script."""

_RENDERED = 512
_HUES = {"parley": 235, "ada": 330, "max": 30, "bo": 150, "cleo": 200}
_KINDS: dict[int, str] = {
    MessageType.DEFAULT: "default",
    MessageType.REPLY: "reply",
    MessageType.SLASH_COMMAND: "command",
    MessageType.CONTEXT_MENU: "command",
}
_STYLES = {1: "primary", 2: "secondary", 3: "success", 4: "danger", 5: "link"}
_SELECTS = {3, 5, 6, 7, 8}
_OPTION_TYPES = {
    OptionType.STRING: "string",
    OptionType.INTEGER: "integer",
    OptionType.BOOLEAN: "boolean",
    OptionType.USER: "user",
    OptionType.CHANNEL: "channel",
    OptionType.ROLE: "role",
    OptionType.MENTIONABLE: "mentionable",
    OptionType.NUMBER: "number",
    OptionType.ATTACHMENT: "attachment",
}
_PLACE_KINDS = {ChannelType.DM: "dm", ChannelType.CATEGORY: "category", ChannelType.FORUM: "forum"}
_COMMAND_KINDS = {1: "slash", 2: "user", 3: "message"}


class View:
    """A reader of the world for the page. It also implements `rendering.Names` for the ids in messages."""

    def __init__(self, discord: DiscordStandin, private: Private) -> None:
        self._discord = discord
        self._world = discord.world
        self._private = private
        self._named: list[tuple[int, str]] = []
        self._render = lru_cache(_RENDERED)(lambda content: render(content, self))
        self._render_line = lru_cache(_RENDERED)(lambda content: render_line(content, self))

    # Names

    def user(self, snowflake: int, /) -> str | None:
        found = self._world.users.get(snowflake)
        return None if found is None else _name(found)

    def role(self, snowflake: int, /) -> str | None:
        found = self._discord.guild.roles.get(snowflake)
        return None if found is None else found.name

    def channel(self, snowflake: int, /) -> str | None:
        found = self._world.channels.get(snowflake)
        return None if found is None or found.guild is None else found.name

    # What there is

    def start(self, model: Json) -> Json:
        """Return the first data that a tab receives."""
        discord = self._discord
        everyone = [member.user for member in discord.guild.members.values()]
        return {
            "bot": self._person(discord.bot),
            "guild": {"id": str(discord.guild.id), "name": discord.guild.name},
            "people": [self._person(user) for user in everyone],
            "roles": [
                {"id": str(role.id), "name": role.name}
                for role in discord.guild.roles.values()
                if role is not discord.guild.everyone
            ],
            "model": model,
            "limits": {"content": MAX_CONTENT, "files": MAX_FILES, "file_bytes": MAX_BYTES},
        }

    def _person(self, user: User) -> Json:
        discord = self._discord
        moderates = discord.moderators in discord.member(user).roles
        dm = next((channel for channel in self._world.channels.values() if channel.recipient is user), None)
        return _author(user) | {
            "username": user.name,
            "rank": "bot" if user.bot else _rank(owner=discord.guild.owner is user, moderator=moderates),
            "dm": None if dm is None else str(dm.id),
        }

    def places(self, user: User) -> Json:
        """Return the channels that a user sees."""
        return {"as": str(user.id), "channels": [self._place(user, channel) for channel in self.visible(user)]}

    def visible(self, user: User) -> Iterable[Channel]:
        world = self._world
        return [channel for channel in world.channels.values() if access.sees(world, user, channel)]

    def _place(self, user: User, channel: Channel) -> Json:
        dm = channel.type is ChannelType.DM
        kind = _PLACE_KINDS.get(channel.type, "thread" if channel.is_thread else "text")
        return {
            "id": str(channel.id),
            "name": _name(self._discord.bot) if dm else channel.name,
            "kind": kind,
            "type": int(channel.type),
            "parent": str(channel.parent.id) if channel.parent else None,
            "topic": channel.topic,
            "last": str(channel.last_message_id) if channel.last_message_id else None,
            "archived": channel.archived,
            "locked": channel.locked,
            "writable": access.may_write(self._world, user, channel),
        }

    def typing(self, user: User, channel: Channel) -> list[str]:
        """Return the names of other people who are typing."""
        return [_name(each.user) for each in self._discord.typing(channel) if each.user is not user]

    def commands(self, user: User, channel: Channel) -> list[Json]:
        """Return the commands that a user finds behind "/" and in menus. Each subcommand is listed separately."""
        found = self._discord.visible_commands(user, channel)
        return [listed for command in found for listed in _listed(command, command["name"], command["type"])]

    # Messages

    def page(self, user: User, channel: Channel, before: int | None = None) -> tuple[list[Json], bool]:
        """Return the newest messages, or those before an id, and whether older ones exist.

        The messages come oldest first.
        """
        messages = [*channel.messages.values(), *self._private.of(user, channel)]
        messages.sort(key=lambda message: message.id)
        end = len(messages) if before is None else bisect_left(messages, before, key=lambda message: message.id)
        first = max(end - PAGE, 0)
        return [self.message(message) for message in messages[first:end]], first > 0

    def forget_names(self) -> None:
        """Drop rendered messages if any name has changed since they were rendered."""
        named = [(channel.id, channel.name) for channel in self._world.channels.values()]
        if named != self._named:
            self._named = named
            self._render.cache_clear()
            self._render_line.cache_clear()

    def message(self, it: Message) -> Json:
        kind = _KINDS.get(it.type, "system")
        thread = it.thread
        return {
            "id": str(it.id),
            "channel": str(it.channel.id),
            "author": _author(it.author),
            "at": it.created_at,
            "edited": it.edited,
            "kind": kind,
            "html": _system(it) if kind == "system" else self._render(it.content),
            "raw": it.content,
            "reply": self._reply(it, it.reply_to),
            "command": self._command(it),
            "ephemeral": it.ephemeral,
            "thinking": it.loading,
            "failed": self._private.failed(it),
            "mentions": [*sorted(str(user.id) for user in it.pinged), *(["everyone"] if it.mention_everyone else [])],
            "silent": it.silent,
            "attachments": [_attachment(each) for each in it.attachments],
            "embeds": [] if it.embeds_suppressed else [self._embed(each) for each in it.embeds],
            "rows": [
                [self._part(part) for part in row["components"]]
                for row in walk_components(it.components)
                if row["type"] == 1
            ],
            "reactions": [
                {"emoji": emoji, "html": _emoji(emoji), "users": [str(user.id) for user in users]}
                for emoji, users in it.reactions.items()
            ],
            "thread": thread and {"id": str(thread.id), "name": thread.name, "count": _count(thread)},
            "editable": kind in ("default", "reply") and not it.ephemeral and not it.is_voice,
            "deletable_by_moderator": not it.ephemeral,
        }

    def _reply(self, it: Message, quoted: Message | None) -> Json | None:
        if quoted is None:
            return None
        return {
            "id": str(quoted.id),
            "author": _author(quoted.author),
            "html": "" if quoted.deleted else self._render_line(quoted.content),
            "gone": quoted.deleted,
            "voice": quoted.is_voice,
            "ping": quoted.author in it.mentions,
        }

    def _command(self, it: Message) -> Json | None:
        name = self._private.command(it)
        user = None if it.interaction is None else self._world.users.get(int(it.interaction["user"]["id"]))
        if name is None or user is None:
            return None
        return {"name": name, "slash": it.type != MessageType.CONTEXT_MENU, "user": _author(user)}

    def _part(self, part: Json) -> Json:
        emoji = part.get("emoji") or {}
        if part["type"] in _SELECTS:
            return {
                "kind": "select",
                "custom_id": part["custom_id"],
                "placeholder": part.get("placeholder") or "",
                "options": [
                    {
                        "label": each["label"],
                        "value": each["value"],
                        "description": each.get("description"),
                        "chosen": bool(each.get("default")),
                    }
                    for each in offered(part, self._world.channels.values())
                ],
                "disabled": bool(part.get("disabled")),
            }
        return {
            "kind": "button",
            "label": part.get("label") or "",
            "emoji": emoji.get("name"),
            "style": _STYLES.get(part.get("style", 2), "secondary"),
            "custom_id": part.get("custom_id"),
            "url": _web_address(part.get("url")),
            "disabled": bool(part.get("disabled")),
        }

    def _embed(self, embed: Json) -> Json:
        return {
            "title": embed.get("title"),
            "html": self._render(embed.get("description") or ""),
            "url": _web_address(embed.get("url")),
        }


def _name(user: User) -> str:
    return user.display_name or user.name


def _author(user: User) -> Json:
    return {"id": str(user.id), "name": _name(user), "bot": user.bot, "hue": _HUES.get(user.name, user.id % 360)}


def _rank(*, owner: bool, moderator: bool) -> str:
    return "owner" if owner else "moderator" if moderator else "member"


def _web_address(url: str | None) -> str | None:
    return url if url is not None and urlsplit(url).scheme in ("http", "https") else None


def _system(it: Message) -> str:
    """Return the text of a system message that follows the author's name."""
    match it.type:
        case MessageType.THREAD_CREATED:
            return f"started a thread: <strong>{escape(it.content)}</strong>"
        case MessageType.THREAD_STARTER:
            return "started this thread on a message"
        case MessageType.PINNED:
            return "pinned a message"
        case MessageType.JOIN:
            return "joined"
    return escape(it.content)


def _count(thread: Channel) -> int:
    """Return a thread's message count as Discord does, without the message that the thread was opened on."""
    return sum(message.type is not MessageType.THREAD_STARTER for message in thread.messages.values())


def _emoji(key: str) -> str:
    name, _, snowflake = key.partition(":")
    return escape(f":{name}:" if snowflake else key)


def _attachment(it: Attachment) -> Json:
    return {
        "name": it.filename,
        "size": it.size,
        "url": f"attachments/{it.id}/{quote(it.filename, safe='')}",
        "image": it.content_type in SAFE_IMAGES,
        "voice": None if it.duration_secs is None else {"seconds": it.duration_secs, "waveform": it.waveform},
    }


def _listed(command: Json, name: str, kind: int) -> Iterable[Json]:
    options = command.get("options") or []
    below = [option for option in options if option["type"] in SUBCOMMANDS]
    for option in below:
        yield from _listed(option, f"{name} {option['name']}", kind)
    if not below:
        yield {
            "name": name,
            "kind": _COMMAND_KINDS[kind],
            "description": command.get("description") or "",
            "options": [_option(option) for option in options],
        }


def _option(option: Json) -> Json:
    choices = option.get("choices")
    return {
        "name": option["name"],
        "description": option.get("description") or "",
        "type": _OPTION_TYPES.get(option["type"], "string"),
        "required": bool(option.get("required")),
        "choices": [{"name": each["name"], "value": each["value"]} for each in choices] if choices else None,
        "completes": bool(option.get("autocomplete")),
        "channel_types": option.get("channel_types") or None,
        "min": option.get("min_value", option.get("min_length")),
        "max": option.get("max_value", option.get("max_length")),
    }
