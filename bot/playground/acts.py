"""Acts of people on the page, carried out in the Discord stand-in under Discord's rules."""

from __future__ import annotations

import unicodedata
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from bot.playground import access, figures, forms
from bot.playground.asking import Ask, Declined, snowflake
from bot.playground.stage import Stage
from bot.standin.entities import Channel, ChannelType, Json, Message, MessageType, Permission, User
from bot.standin.errors import ApiError
from bot.standin.interactions import Interaction
from bot.standin.rules import MAX_CONTENT, MAX_FILES, reaction_key
from bot.texts import playground as words

_MAX_REACTIONS = 20
_MAX_CHANNELS = 200
_MAX_NAME = 100
_FORMS = 10
AWAITING = frozenset({"complete", "submit"})
"""Requests that are finished only when the bot has answered."""
_LONGEST_EMOJI = 40
_OWN = {MessageType.DEFAULT, MessageType.REPLY}


class Tab(Protocol):
    """The browser tab that makes a request and receives the frames that follow."""

    user: User
    channel: Channel | None
    forms: dict[int, Interaction]

    def speak_as(self, user: User) -> None: ...
    def look_at(self, channel: Channel) -> None: ...
    def post(self, frame: Json) -> None: ...


class Acts:
    """Handlers for every request of a tab. Callers use `do`, which picks the handler."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._discord = stage.discord
        self._world = stage.discord.world
        acts = (
            *(self.as_, self.open, self.older, self.say, self.edit, self.delete, self.react, self.unreact, self.typing),
            *(self.thread, self.post, self.archive, self.slash, self.complete, self.menu, self.press, self.choose),
            *(self.submit, self.cancel, self.dismiss, self.fault, self.figures),
        )
        self._acts: dict[str, Callable[[Tab, Ask], Awaitable[Json | None]]] = {
            act.__name__.rstrip("_"): act for act in acts
        }

    async def do(self, tab: Tab, ask: Ask) -> Json | None:
        """Carry out a request and return the data for its answer.

        A request that is not allowed raises Declined with a reason.
        """
        act = self._acts.get(ask.do)
        if act is None:
            raise Declined(words.MALFORMED)
        try:
            return await act(tab, ask)
        except ApiError as error:
            raise Declined(f"{error.message.rstrip('.')}.") from None
        except LookupError:
            raise Declined(words.NOT_THERE) from None

    # Finding

    def _channel(self, tab: Tab, channel_id: int) -> Channel:
        channel = self._world.channels.get(channel_id)
        if channel is None or not access.sees(self._world, tab.user, channel):
            raise Declined(words.NO_SUCH_CHANNEL)
        return channel

    def _message(self, tab: Tab, message_id: int) -> Message:
        """Return a message that the tab's person sees, including a private one."""
        if private := self._stage.private.find(tab.user, message_id):
            return private
        for channel in self._stage.view.visible(tab.user):
            if message := channel.messages.get(message_id):
                return message
        raise Declined(words.MESSAGE_GONE)

    def _shared(self, tab: Tab, message_id: int) -> Message:
        """Return a message that everybody in its channel sees."""
        message = self._message(tab, message_id)
        if message.ephemeral:
            raise Declined(words.ONLY_DISMISSED)
        return message

    def _require(self, tab: Tab, channel: Channel, permission: Permission, sentence: str) -> None:
        if not access.may(self._world, tab.user, channel, permission):
            raise Declined(sentence)

    # Looking

    async def as_(self, tab: Tab, ask: Ask) -> None:
        member = self._discord.guild.members.get(ask.id("user"))
        if member is None or member.user.bot:
            raise Declined(words.NO_SUCH_PERSON)
        tab.speak_as(member.user)

    async def open(self, tab: Tab, ask: Ask) -> None:
        tab.look_at(self._channel(tab, ask.id("channel")))

    async def older(self, tab: Tab, ask: Ask) -> Json:
        channel = self._channel(tab, ask.id("channel"))
        messages, more = self._stage.view.page(tab.user, channel, ask.id("before"))
        return {"messages": messages, "more": more}

    async def figures(self, tab: Tab, ask: Ask) -> Json:
        return {"figures": figures.shown(self._stage.figures)}

    # Talking

    async def say(self, tab: Tab, ask: Ask) -> Json:
        channel = self._channel(tab, ask.id("channel"))
        files, content = ask.texts("files"), ask.text("content").strip()
        self._check_writing(tab, channel, content, empty=bool(files))
        if len(files) > MAX_FILES:
            raise Declined(words.too_many_files(MAX_FILES))
        if files:
            self._require(tab, channel, Permission.ATTACH_FILES, words.MAY_NOT_WRITE)
        reply_to = self._reply_target(tab, channel, ask.id_or_none("reply_to"))
        try:
            attachments = self._stage.uploads.take(files)
        except KeyError:
            raise Declined(words.FILE_GONE) from None
        if any(each.duration_secs is not None for each in attachments) and (content or len(files) > 1):
            raise Declined(words.VOICE_ALONE)
        message = await self._discord.say(
            channel, tab.user, content, reply_to=reply_to, ping=ask.flag("ping"), attachments=attachments
        )
        return {"message": str(message.id), "heard": self._is_heard(message)}

    def _is_heard(self, message: Message) -> bool:
        """Whether the bot is to answer a message, by the message's place and its mentions."""
        bot = self._discord.bot
        mentions = bot in message.mentions or not set(message.mention_roles).isdisjoint(self._discord.member(bot).roles)
        return message.channel.guild is None or mentions

    async def edit(self, tab: Tab, ask: Ask) -> None:
        message = self._shared(tab, ask.id("message"))
        if message.author is not tab.user or message.type not in _OWN:
            raise Declined(words.NOT_YOURS_TO_EDIT)
        if message.is_voice:
            raise Declined(words.NO_EDIT_OF_VOICE)
        content = ask.text("content").strip()
        self._check_writing(tab, message.channel, content, empty=bool(message.attachments))
        self._check_open(message.channel)
        await self._discord.edit(message, content)

    async def delete(self, tab: Tab, ask: Ask) -> None:
        message = self._shared(tab, ask.id("message"))
        if message.author is not tab.user and not access.may_delete_others(self._world, tab.user, message.channel):
            raise Declined(words.NOT_YOURS_TO_DELETE)
        self._check_open(message.channel)
        await self._discord.delete(message)

    async def react(self, tab: Tab, ask: Ask) -> None:
        message, emoji = self._shared(tab, ask.id("message")), _emoji(ask.text("emoji"))
        if emoji not in message.reactions:
            self._require(tab, message.channel, Permission.ADD_REACTIONS, words.MAY_NOT_WRITE)
            if len(message.reactions) >= _MAX_REACTIONS:
                raise Declined(words.too_many_reactions(_MAX_REACTIONS))
        self._check_open(message.channel)
        await self._discord.react(message, tab.user, emoji)

    async def unreact(self, tab: Tab, ask: Ask) -> None:
        await self._discord.unreact(self._shared(tab, ask.id("message")), tab.user, ask.text("emoji"))

    async def typing(self, tab: Tab, ask: Ask) -> None:
        channel = self._channel(tab, ask.id("channel"))
        if access.may_write(self._world, tab.user, channel):
            await self._discord.type_in(channel, tab.user)

    def _check_writing(self, tab: Tab, channel: Channel, content: str, *, empty: bool) -> None:
        if not access.may_write(self._world, tab.user, channel):
            raise Declined(words.MAY_NOT_WRITE)
        self._check_text(content, empty=empty)

    def _check_text(self, content: str, *, empty: bool) -> None:
        # Discord counts code points, as `len` does.
        if len(content) > MAX_CONTENT:
            raise Declined(words.too_long(len(content), MAX_CONTENT))
        if not content and not empty:
            raise Declined(words.EMPTY_MESSAGE)

    def _check_open(self, channel: Channel) -> None:
        if channel.archived:
            raise Declined(words.ARCHIVED)

    def _reply_target(self, tab: Tab, channel: Channel, message_id: int | None) -> Message | None:
        if message_id is None:
            return None
        message = self._shared(tab, message_id)
        if message.channel is not channel or message.type not in {*_OWN, *_ANSWERS}:
            raise Declined(words.NO_REPLY_TO_THAT)
        return message

    # Threads

    async def thread(self, tab: Tab, ask: Ask) -> Json:
        channel, name = self._channel(tab, ask.id("channel")), " ".join(ask.text("name").split())
        message_id = ask.id_or_none("message")
        message = None if message_id is None else self._shared(tab, message_id)
        if channel.guild is None or channel.is_thread or channel.type is ChannelType.FORUM:
            raise Declined(words.NO_THREADS_HERE)
        self._require(tab, channel, Permission.CREATE_PUBLIC_THREADS, words.MAY_NOT_WRITE)
        if not 1 <= len(name) <= _MAX_NAME:
            raise Declined(words.NAME_THE_THREAD)
        if message is not None and (message.channel is not channel or message.thread is not None):
            raise Declined(words.HAS_A_THREAD)
        if len(self._world.channels) >= _MAX_CHANNELS:
            raise Declined(words.ENOUGH_THREADS)
        opened = await self._discord.open_thread(channel, name, tab.user, message=message)
        return {"channel": str(opened.id)}

    async def post(self, tab: Tab, ask: Ask) -> Json:
        forum, title = self._channel(tab, ask.id("channel")), " ".join(ask.text("title").split())
        content = ask.text("content").strip()
        if forum.type is not ChannelType.FORUM:
            raise Declined(words.NO_POSTS_HERE)
        self._require(tab, forum, Permission.SEND_MESSAGES, words.MAY_NOT_WRITE)
        if not 1 <= len(title) <= _MAX_NAME:
            raise Declined(words.NAME_THE_POST)
        self._check_text(content, empty=False)
        if len(self._world.channels) >= _MAX_CHANNELS:
            raise Declined(words.ENOUGH_THREADS)
        first = await self._discord.open_post(forum, title, tab.user, content)
        return {"channel": str(first.channel.id), "heard": self._is_heard(first)}

    async def archive(self, tab: Tab, ask: Ask) -> None:
        channel, archived = self._channel(tab, ask.id("channel")), ask.flag("archived")
        if not channel.is_thread:
            raise Declined(words.NO_THREADS_HERE)
        if channel.owner is not tab.user or channel.locked:
            self._require(tab, channel, Permission.MANAGE_THREADS, words.NOT_YOUR_THREAD)
        self._world.update_thread(channel, archived=archived)

    # Commands, buttons, forms

    async def slash(self, tab: Tab, ask: Ask) -> None:
        channel, command = self._channel(tab, ask.id("channel")), ask.text("command")
        given = {name: text for name, text in ask.table("options").items() if text != ""}
        values: dict[str, Any] = forms.options(self._options(tab, channel, command), given, self._resolve)
        try:
            started = await self._discord.slash(tab.user, channel, command, **values)
        except ValueError:
            raise Declined(words.NOT_TAKEN) from None
        self._follow(tab, started, command)

    async def complete(self, tab: Tab, ask: Ask) -> Json:
        channel, command = self._channel(tab, ask.id("channel")), ask.text("command")
        typed: dict[str, Any] = forms.typed(self._options(tab, channel, command), ask.table("options"))
        started = await self._discord.complete(tab.user, channel, command, focused=ask.text("option"), **typed)
        await _acknowledged(started, words.NO_CHOICES)
        return {"choices": started.choices}

    def _options(self, tab: Tab, channel: Channel, command: str) -> list[Json]:
        for each in self._stage.view.commands(tab.user, channel):
            if (each["kind"], each["name"]) == ("slash", command):
                options: list[Json] = each["options"]
                return options
        raise Declined(words.no_such_command(command))

    async def menu(self, tab: Tab, ask: Ask) -> None:
        channel, command = self._channel(tab, ask.id("channel")), ask.text("command")
        message_id, user_id = ask.id_or_none("message"), ask.id_or_none("user")
        target: Message | User | None
        target = self._shared(tab, message_id) if message_id else self._world.users.get(user_id or 0)
        if target is None:
            raise Declined(words.NO_SUCH_PERSON)
        self._follow(tab, await self._discord.context_menu(tab.user, command, target, channel), command)

    async def press(self, tab: Tab, ask: Ask) -> None:
        message = self._message(tab, ask.id("message"))
        self._follow(tab, await self._discord.press(tab.user, message, ask.text("custom_id")))

    async def choose(self, tab: Tab, ask: Ask) -> None:
        message = self._message(tab, ask.id("message"))
        seen = self._stage.view.visible(tab.user)
        chosen = forms.chosen(message, ask.text("custom_id"), ask.texts("values"), seen)
        self._follow(tab, await self._discord.choose(tab.user, message, ask.text("custom_id"), *chosen))

    async def submit(self, tab: Tab, ask: Ask) -> None:
        form_id = ask.id("form")
        form = tab.forms.get(form_id)
        if form is None or form.user is not tab.user:
            raise Declined(words.NOT_THERE)
        started = await self._discord.submit(form, **forms.filled(form, ask.table("fields")))
        # The form stays open until the bot answers, so that the text in it is not lost.
        await _acknowledged(started, words.TRY_AGAIN)
        tab.forms.pop(form_id, None)

    async def cancel(self, tab: Tab, ask: Ask) -> None:
        tab.forms.pop(ask.id("form"), None)

    async def dismiss(self, tab: Tab, ask: Ask) -> None:
        private = self._stage.private.find(tab.user, ask.id("message"))
        if private is not None:
            self._world.delete(private)

    def _follow(self, tab: Tab, started: Interaction, command: str | None = None) -> None:
        def show_form(answered: Interaction) -> None:
            tab.forms[answered.id] = answered
            if len(tab.forms) > _FORMS:
                del tab.forms[next(iter(tab.forms))]
            tab.post(forms.shown(answered))

        self._stage.private.follow(started, command, show_form)

    def _resolve(self, kind: str, text: str) -> object:
        """Return the user, role, channel, file or other object that an option names by its id."""
        found: object
        match kind:
            case "attachment":
                try:
                    [found] = self._stage.uploads.take([text])
                except KeyError:
                    raise Declined(words.FILE_GONE) from None
            case "user":
                found = self._world.users.get(snowflake(text))
            case "channel":
                found = self._world.channels.get(snowflake(text))
            case "mentionable":
                found = self._world.users.get(snowflake(text)) or self._discord.guild.roles.get(snowflake(text))
            case _:
                found = self._discord.guild.roles.get(snowflake(text))
        if found is None:
            raise Declined(words.NOT_THERE)
        return found

    # Switches

    async def fault(self, tab: Tab, ask: Ask) -> None:
        channel_id = ask.id_or_none("channel")
        channel = None if channel_id is None else self._channel(tab, channel_id)
        try:
            self._stage.switches.turn(ask.text("name"), ask.flag("on"), channel)
        except LookupError:
            raise Declined(words.NOTHING_TO_SWITCH) from None


_ANSWERS = {MessageType.SLASH_COMMAND, MessageType.CONTEXT_MENU}


async def _acknowledged(started: Interaction, otherwise: str) -> None:
    try:
        await started.acknowledged()
    except AssertionError:
        raise Declined(otherwise) from None


def _emoji(text: str) -> str:
    """Return the key of an emoji for reactions.

    Any text without letters, spaces and control characters counts as an emoji here, whereas Discord knows every emoji
    by name.
    """
    kinds = {unicodedata.category(each) for each in text}
    if len(text) > _LONGEST_EMOJI or any(kind[0] in "LZ" or kind in ("Cc", "Cn", "Co") for kind in kinds):
        raise Declined(words.NOT_AN_EMOJI)
    return reaction_key(text)
