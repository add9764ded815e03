"""The replies of the bot on Discord: begun for prompts, begun anew by a button, ended by people and by deletions."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Coroutine, Sequence, Set
from datetime import timedelta
from typing import Any
from weakref import WeakKeyDictionary

import discord

from bot import phrases
from bot.conversation import Conversations, Running
from bot.discord_bot.messages import ReplyMessages
from bot.discord_bot.prompts import channel_id, conversation_key
from bot.discord_bot.reply import DiscordReply, take_hourglass_away
from bot.errors import StoreError
from bot.live_reply import Button, LiveReply, Shown, button_after
from bot.scheduler import Scheduler
from bot.store import SQLiteStore
from bot.turns import Attempt, Cause, Outcome, Prompt, Sent, State, Turn

log = logging.getLogger(__name__)

OLD = timedelta(minutes=55)
"""Messages over an hour old may be edited but three times in six seconds: too slow for a reply that grows."""

_NEW = timedelta(seconds=10)
_DELETED_LATELY = 1000
"""Deleted messages that are remembered: an event may be handled before what it is about is known here."""

Spawn = Callable[[Coroutine[Any, Any, None]], object]


class Replies:
    """All replies of one client. In a server's channels one over `most` messages comes as a file."""

    def __init__(
        self,
        client: discord.Client,
        conversations: Conversations,
        store: SQLiteStore,
        scheduler: Scheduler,
        spawn: Spawn,
        most: int | None,
    ) -> None:
        self._client = client
        self._conversations = conversations
        self._store = store
        self._scheduler = scheduler
        self._spawn = spawn
        self._most = most
        self._live: WeakKeyDictionary[Running, LiveReply] = WeakKeyDictionary()
        self._deleted: deque[int] = deque(maxlen=_DELETED_LATELY)

    async def answer(self, place: object, prompt: Prompt, notices: Sequence[str]) -> None:
        """Answer a prompt from a channel (`place`), with these notices under the answer.

        Raises StoreError, with nothing accepted, when it cannot be saved.
        """
        notices = list(notices)
        if isinstance(place, discord.DMChannel) and not await self._store.history(prompt.conversation, 1):
            notices.append(phrases.FIRST_IN_DM)

        def open_sink(running: Running) -> DiscordReply:
            return self._open(running, place, notices=notices)

        await self._conversations.answer(prompt, open_sink)

    async def again(self, interaction: discord.Interaction, turn: Turn, *, go_on: bool) -> None:
        """Another attempt at a reply, in its own messages, or below them where Discord is slow to edit these."""
        sent = await self._sent(turn)
        before = discord.utils.time_snowflake(discord.utils.utcnow() - OLD)
        old = any(message_id < before for message_id, _ in sent)
        ids = [message_id for message_id, _ in sent]
        cuts = [start for _, start in sent[1:]]

        def open_sink(running: Running) -> DiscordReply:
            if not old and not go_on:
                return self._open(running, interaction.channel, shown=list(map(Shown, ids)), anew=True)
            if not old:
                return self._open(running, interaction.channel, shown=list(map(Shown, ids)), cuts=cuts)
            if go_on:
                return self._open(running, interaction.channel, first_part=len(sent), skip=len(turn.reply))
            return self._open(running, interaction.channel, discard=ids)

        try:
            await self._conversations.again(turn, open_sink, go_on=go_on)
        except StoreError as error:
            log.error("turn %d could not be tried again: %s", turn.id, error)
            await interaction.followup.send(phrases.CANNOT_SAVE, ephemeral=True)

    async def tell(self, message: discord.Message, sentence: str) -> None:
        """Say something to a person that is no turn of the conversation."""
        channel = self._client.get_partial_messageable(message.channel.id)
        messages = ReplyMessages(channel, message.id, None, self._store, quotes=_reads_history(message.channel))
        live = LiveReply(channel.id, messages, self._scheduler, note=lambda _: sentence)
        await live.finish(Outcome(State.COMPLETE))

    async def end(self, turn: Turn) -> None:
        """Show the end of a turn that an earlier process left before anybody could see it."""
        sent = await self._sent(turn)
        attempt = Attempt(turn.id, turn.attempt)
        channel = self._client.get_partial_messageable(channel_id(turn.conversation))
        live = LiveReply(
            channel.id,
            ReplyMessages(channel, turn.position, attempt, self._store, posted=len(sent)),
            self._scheduler,
            note=phrases.note,
            shown=[Shown(message_id) for message_id, _ in sent],
            cuts=[start for _, start in sent[1:]],
            # What kind of channel it is, Discord has not said yet; what more there is may come as a file anywhere.
            most=None if self._most is None else max(self._most, len(sent)),
        )
        self._spawn(take_hourglass_away(channel.get_partial_message(turn.position), self._me()))
        if await live.finish(Outcome(turn.state, turn.reply, turn.error)):
            await self._store.told(attempt)

    async def pressed(self, interaction: discord.Interaction, button: Button) -> None:
        """Do what a button says, for the asker and for moderators, once."""
        try:
            turn = None if interaction.message is None else await self._store.turn_of_message(interaction.message.id)
        except StoreError as error:
            log.error("a press on %s could not be looked up: %s", button.value, error)
            await interaction.response.send_message(phrases.CANNOT_SAVE, ephemeral=True)
            return
        if turn is None:
            await interaction.response.send_message(_not_on_record(interaction), ephemeral=True)
        elif interaction.user.id != turn.author_id and not _moderates(interaction):
            await interaction.response.send_message(phrases.not_theirs(_asker(turn)), ephemeral=True)
        elif button is Button.STOP:
            await interaction.response.defer()
            for running in self._conversations.running:
                if running.attempt.turn_id == turn.id:
                    running.stop(Cause.PERSON, shown_name(interaction.user))
        elif button_after(Outcome(turn.state, turn.reply, turn.error)) is not button:
            # Somebody was faster: this is being done, or is done already.
            await interaction.response.defer()
        else:
            # The button goes at once; this call counts towards no limit.
            await interaction.response.edit_message(view=None)
            self._spawn(self.again(interaction, turn, go_on=button is Button.CONTINUE))

    def stop(self, interaction: discord.Interaction) -> int:
        """Stop the person's own replies in the channel, or for moderators all. Returns how many."""
        running = [
            each
            for each in self._conversations.running
            if each.prompt.conversation == conversation_key(interaction.channel_id or 0)
            and (each.prompt.author_id == interaction.user.id or _moderates(interaction))
        ]
        for each in running:
            each.stop(Cause.PERSON, shown_name(interaction.user))
        return len(running)

    def deleted(self, in_channel: int, message_ids: Set[int]) -> None:
        """End the replies whose prompt or message somebody has deleted."""
        self._deleted.extend(message_ids)
        for running in self._conversations.running:
            if running.prompt.conversation != conversation_key(in_channel):
                continue
            live = self._live.get(running)
            if running.prompt.position in message_ids:
                running.stop(Cause.PROMPT_DELETED)
            elif live is not None and any(map(live.shows, message_ids)):
                live.vanish()
                running.stop(Cause.REPLY_DELETED)

    def _open(
        self,
        running: Running,
        place: object,
        *,
        notices: Sequence[str] = (),
        first_part: int = 0,
        **options: Any,
    ) -> DiscordReply:
        prompt = running.prompt
        channel = self._client.get_partial_messageable(channel_id(prompt.conversation))

        def note(outcome: Outcome) -> str | None:
            lines = [*(notices if outcome.text else ()), phrases.note(outcome)]
            return "\n".join(filter(None, lines)) or None

        live = LiveReply(
            channel.id,
            ReplyMessages(
                channel,
                prompt.position,
                running.attempt,
                self._store,
                first_part=first_part,
                quotes=_reads_history(place),
                deleted=self._deleted,
            ),
            self._scheduler,
            note=note,
            # Long replies flood a channel; a thread or a DM is the place for them.
            most=self._most if isinstance(place, discord.abc.GuildChannel) else None,
            **options,
        )
        self._live[running] = live
        self._spawn(_stop_when_deleted(running, live))
        if prompt.position in self._deleted:
            running.stop(Cause.PROMPT_DELETED)
        return DiscordReply(
            live, channel.get_partial_message(prompt.position), self._me(), self._scheduler, self._spawn
        )

    def _me(self) -> discord.Object:
        return discord.Object(self._client.user.id if self._client.user else 0)

    async def _sent(self, turn: Turn) -> list[tuple[int, int]]:
        """Id and start of each message of a reply that is known to be there."""
        sent: list[Sent] = await self._store.sent(turn.id)
        return [(each.message_id, each.start) for each in sent if each.message_id is not None]


def _reads_history(place: object) -> bool:
    """Whether the bot may reply to messages there; where discord.py does not know, it is worth a try."""
    if not isinstance(place, discord.abc.GuildChannel | discord.Thread):
        return True
    me: discord.Member | None = place.guild.me
    return me is None or place.permissions_for(me).read_message_history


def _not_on_record(interaction: discord.Interaction) -> str:
    """What to say of a message whose turn is not found: it may be too new for that."""
    message = interaction.message
    is_new = message is not None and discord.utils.utcnow() - message.created_at < _NEW
    return phrases.ONE_MOMENT if is_new else phrases.NOT_REMEMBERED


async def _stop_when_deleted(running: Running, live: LiveReply) -> None:
    """What nobody will see need not be written: its tokens would be billed."""
    await live.done.wait()
    if live.deleted:
        running.stop(Cause.REPLY_DELETED)


def shown_name(user: discord.User | discord.Member) -> str:
    """A display name as text that means nothing but itself."""
    return discord.utils.escape_markdown(user.display_name)


def _moderates(interaction: discord.Interaction) -> bool:
    return interaction.guild_id is not None and interaction.permissions.manage_messages


def _asker(turn: Turn) -> str:
    return discord.utils.escape_markdown((turn.author_name or "").rpartition(" (@")[0]) or "the one who asked"
