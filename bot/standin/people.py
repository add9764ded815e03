"""The actions of people on Discord: messages, replies, reactions, commands and buttons."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, TypeVar

from bot.standin import mentions, message_payloads
from bot.standin.cdn import Cdn
from bot.standin.commands import MESSAGE, SLASH, USER, CommandBook
from bot.standin.directory import Event
from bot.standin.entities import (
    Attachment,
    Channel,
    ChannelType,
    Forward,
    Guild,
    Json,
    Message,
    MessageFlag,
    MessageType,
    Permission,
    Poll,
    Role,
    Sticker,
    User,
    walk_components,
)
from bot.standin.filling import Options, filled, nested, within
from bot.standin.interactions import Interaction, Interactions, Kind
from bot.standin.world import World

_T = TypeVar("_T")


class People:
    """The actions of everybody except the bot. Each action returns when the bot's gateway has received the event."""

    world: World
    guild: Guild
    commands: CommandBook
    _cdn: Cdn
    _interactions: Interactions

    # Messages

    async def say(
        self,
        channel: Channel,
        author: User,
        content: str,
        *,
        reply_to: Message | None = None,
        ping: bool = True,
        attachments: Iterable[Attachment] = (),
        stickers: Iterable[str | Sticker] = (),
        poll: Poll | None = None,
        embeds: Iterable[Json] = (),
        components: Iterable[Json] = (),
        silent: bool = False,
        webhook: bool = False,
        type: int | None = None,  # noqa: A002  Discord's name of the field
        message_id: int | None = None,
    ) -> Message:
        """Send a message. Mentions in it have Discord's form: `user.mention`, `role.mention`.

        `ping` is the ping setting of a reply. `webhook` makes a webhook the author. `type` makes a system message. Only
        webhooks and bots can send `embeds` and `components`.
        """
        self._require_writing(channel, author, webhook=webhook)
        cards, parts, files = list(embeds), list(components), list(attachments)
        flags = MessageFlag.SUPPRESS_NOTIFICATIONS if silent else MessageFlag.NONE
        if any(each.duration_secs is not None for each in files):
            if content or len(files) > 1:
                raise ValueError("a voice message has neither a text nor another file")
            flags |= MessageFlag.IS_VOICE_MESSAGE
        if (cards or parts) and not (author.bot or webhook):
            raise PermissionError(f"{author.name} is a person, who sends no embeds or components")
        message = self.world.post(
            channel,
            author,
            content,
            mentions=self._mentions(channel, author, content, reply_to, ping=ping),
            type=type if type is not None else MessageType.REPLY if reply_to else MessageType.DEFAULT,
            flags=flags,
            reply_to=reply_to,
            poll=poll,
            stickers=[Sticker(each) if isinstance(each, str) else each for each in stickers],
            embeds=[{"type": "rich", **card} for card in cards],
            components=parts,
            attachments=[self._cdn.store(each, channel) for each in files],
            webhook_id=author.id if webhook else None,
            message_id=message_id,
        )
        if channel.is_thread and not webhook:
            channel.members.add(author.id)
        return await _delivered(message)

    async def forward(self, channel: Channel, author: User, message: Message) -> Message:
        """Forward a message in its current state. Discord sends a comment on a forward as a separate message.

        A message with a poll is refused: https://docs.discord.com/developers/resources/message#message-reference-types
        """
        self._require_writing(channel, author)
        if message.poll is not None:
            raise ValueError("Discord forwards no polls")
        passed_on = self.world.post(
            channel,
            author,
            "",
            flags=MessageFlag.HAS_SNAPSHOT,
            forwarded=Forward(message, message_payloads.snapshot(message)),
        )
        return await _delivered(passed_on)

    async def edit(self, message: Message, content: str) -> Message:
        """Edit a message as its author. The ping of a reply stays as it was."""
        pinged = message.reply_to is not None and message.reply_to.author in message.mentions
        found = self._mentions(message.channel, message.author, content, message.reply_to, ping=pinged)
        self.world.edit(message, content=content, mentions=found)
        return await _delivered(message)

    async def delete(self, message: Message) -> None:
        self.world.delete(message)
        await _delivered(None)

    async def bulk_delete(self, messages: Iterable[Message]) -> None:
        """Delete several messages at once, as a moderator or a moderation bot does."""
        self.world.delete(*messages)
        await _delivered(None)

    async def unfurl(self, message: Message, *embeds: Json) -> None:
        """Add link previews to a message. This is an update without an edit. Suppressed previews have no effect."""
        if not message.embeds_suppressed:
            self.world.edit(message, embeds=[*message.embeds, *embeds], stamped=False)
        await _delivered(None)

    async def react(self, message: Message, user: User, emoji: str) -> None:
        """Add a user's reaction. `emoji` is the character itself, or `name:id`."""
        self.world.react(message, user, emoji)
        await _delivered(None)

    async def unreact(self, message: Message, user: User, emoji: str) -> None:
        self.world.unreact(message, user, emoji)
        await _delivered(None)

    async def type_in(self, channel: Channel, user: User) -> None:
        self.world.type(channel, user)
        await _delivered(None)

    async def open_thread(
        self, channel: Channel, name: str, by: User, *, message: Message | None = None, private: bool = False
    ) -> Channel:
        """Open a thread, either on a message or on its own."""
        thread = self.world.open_thread(channel, name, by, message=message, private=private)
        return await _delivered(thread)

    async def open_post(self, forum: Channel, title: str, by: User, content: str, **said: Any) -> Message:
        """Open a post in a forum. Returns its first message, which has the id of its thread."""
        if Permission.SEND_MESSAGES not in self.world.permissions(by, forum):
            raise PermissionError(f"{by.name} cannot open posts in {forum.name}")
        thread = self.world.open_thread(forum, title, by)
        return await self.say(thread, by, content, message_id=thread.id, **said)

    def _require_writing(self, channel: Channel, author: User, *, webhook: bool = False) -> None:
        permissions = self.world.permissions(author, channel)
        needed = Permission.SEND_MESSAGES_IN_THREADS if channel.is_thread else Permission.SEND_MESSAGES
        if channel.type in (ChannelType.FORUM, ChannelType.CATEGORY) or (needed not in permissions and not webhook):
            raise PermissionError(f"{author.name} cannot write in {channel.name}")
        if channel.locked and Permission.MANAGE_THREADS not in permissions:
            raise PermissionError(f"{author.name} cannot write in {channel.name}, which is locked")
        if (seconds := self.world.slowed(author, channel)) > 0:
            raise PermissionError(f"{author.name} has to wait {seconds:.1f} s in {channel.name} for slow mode")

    # Commands and components

    async def slash(self, user: User, channel: Channel, command: str, /, **options: Any) -> Interaction:
        """Use `/command`. A subcommand follows after a space.

        Options can be people (also by id), channels, roles and files.
        Input that Discord's client would not send raises LookupError or ValueError.
        """
        name, *path = command.split(" ")
        found = self._command(name, SLASH, user, channel)
        given, resolved = Options(self.world, self._cdn, user, channel).complete(within(found, path), options)
        data = _slash(found, path, given) | {"resolved": resolved}
        return await _delivered(self._interactions.start(Kind.COMMAND, user, channel, data))

    async def complete(
        self, user: User, channel: Channel, command: str, /, *, focused: str, **options: Any
    ) -> Interaction:
        """Type into the option `focused` of `/command`. `options` holds all values so far, including this one.

        Wait for the answer with `acknowledged`. The bot's offer is then in `choices`.
        """
        name, *path = command.split(" ")
        found = self._command(name, SLASH, user, channel)
        given = Options(self.world, self._cdn, user, channel).partial(within(found, path), options, focused)
        data = _slash(found, path, given)
        return await _delivered(self._interactions.start(Kind.AUTOCOMPLETE, user, channel, data))

    def visible_commands(self, user: User, channel: Channel) -> list[Json]:
        """List the commands that a user sees after typing "/" and in menus."""
        return self.commands.visible(user, channel, self.world.permissions(user, channel))

    def permit(self, command: str, who: Role | User, allowed: bool, guild: Guild | None = None) -> None:
        """Allow or forbid a command for a role or a person in the server's settings, as moderators do."""
        guild = guild or self.guild
        found = self.commands.permit(command, who, allowed, guild)
        body: Json = {
            "id": found["id"],
            "application_id": found["application_id"],
            "guild_id": str(guild.id),
            "permissions": [
                {"id": str(id_), "type": 1 if id_ in guild.roles else 2, "permission": permission}
                for id_, permission in self.commands.permits(found, guild).items()
            ],
        }
        event = Event("APPLICATION_COMMAND_PERMISSIONS_UPDATE", lambda _: body, None, guild.id)
        for listener in tuple(self.world.on_event):
            listener(event)
        self.world.changed()

    async def context_menu(self, user: User, command: str, target: Message | User, channel: Channel) -> Interaction:
        """Use a context-menu command. The bot receives the message's content without an intent."""
        kind = MESSAGE if isinstance(target, Message) else USER
        if isinstance(target, Message) and (target.deleted or target.channel is not channel):
            raise LookupError(f"{user.name} finds no {target!r} in {channel.name}")
        found = self._command(command, kind, user, channel)
        data: Json = {"id": found["id"], "name": command, "type": kind, "target_id": str(target.id)}
        if isinstance(target, Message):
            shown = message_payloads.message(target, self.world.viewer(content=True))
            data["resolved"] = {"messages": {str(target.id): shown}}
        else:
            data["resolved"] = Options(self.world, self._cdn, user, channel).resolved([target])
        about = target if isinstance(target, Message) else None
        return await _delivered(self._interactions.start(Kind.COMMAND, user, channel, data, target=about))

    async def press(self, user: User, message: Message, custom_id: str) -> Interaction:
        """Press a button. A button that is missing or disabled raises LookupError."""
        return await self._use(user, message, self._component(message, custom_id), {})

    async def choose(self, user: User, message: Message, custom_id: str, *values: str) -> Interaction:
        """Choose from a select menu. The values are those of its options, or ids as text.

        A menu that is missing or disabled raises LookupError, what it does not offer raises ValueError.
        """
        menu = self._component(message, custom_id)
        chosen = Options(self.world, self._cdn, user, message.channel).selected(menu, values)
        return await self._use(user, message, menu, chosen)

    async def submit(self, form: Interaction, /, **fields: str) -> Interaction:
        """Fill in and send the form that answered `form`. `fields` are texts by custom id. Others keep their text.

        Input that Discord's client would not send raises LookupError or ValueError.
        """
        if form.modal is None:
            raise LookupError("no form is open")
        data = {"custom_id": form.modal["custom_id"], "components": filled(form.modal, fields)}
        started = self._interactions.start(
            Kind.MODAL_SUBMIT, form.user, form.channel, data, source=form.source, trigger=form
        )
        return await _delivered(started)

    def _component(self, message: Message, custom_id: str) -> Json:
        for component in walk_components(message.components):
            if component.get("custom_id") == custom_id and not component.get("disabled"):
                return component
        raise LookupError(f"nothing to press: {custom_id!r} on {message!r} with {message.buttons}")

    async def _use(self, user: User, message: Message, component: Json, more: Json) -> Interaction:
        data = {
            "custom_id": component["custom_id"],
            "component_type": component["type"],
            "id": component["id"],
            **more,
        }
        started = self._interactions.start(Kind.COMPONENT, user, message.channel, data, source=message)
        return await _delivered(started)

    def _command(self, name: str, kind: int, user: User, channel: Channel) -> Json:
        for command in self.visible_commands(user, channel):
            if (command["name"], command["type"]) == (name, kind):
                return command
        raise LookupError(f"{user.name} finds no command {name!r} in {channel.name}")

    def _mentions(
        self, channel: Channel, author: User, content: str, reply_to: Message | None, *, ping: bool
    ) -> mentions.Mentions:
        return mentions.find(
            content,
            channel,
            known=self.world.users,
            allowed=None,
            permissions=self.world.permissions(author, channel),
            replied=reply_to.author if reply_to and ping else None,
        )


def _slash(command: Json, path: list[str], given: list[Json]) -> Json:
    options = nested(command, path, given)
    return {"id": command["id"], "name": command["name"], "type": SLASH, "options": options}


async def _delivered(result: _T) -> _T:
    """Return the result after the gateway's writers had their turn."""
    await asyncio.sleep(0)
    return result
