"""Opens live replies in Discord's channels, and keeps those that are running within reach.

Which attempt gets a reply, and how it begins, is decided in `replies`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

import discord

from bot import texts
from bot.core.attached import heard
from bot.core.attempt import ActiveAttempt
from bot.core.prompt_text import asked
from bot.core.records import Ping
from bot.core.turns import Attempt, Outcome, Prompt, StopReason, Turn, TurnState
from bot.discord_bot.channels import anchor_of, asked_by_command, asked_in, channel_of, is_for_one, message_of
from bot.discord_bot.delivery.activity import BeforeEnd, ReplyActivity
from bot.discord_bot.delivery.beginning import (
    Beginning,
    ContinuedBelow,
    ContinuedInPlace,
    Fresh,
    PartialDelivery,
    sent_messages,
)
from bot.discord_bot.delivery.buttons import under_reply
from bot.discord_bot.delivery.deletions import DeletionLog
from bot.discord_bot.delivery.interaction_messages import InteractionMessages, PrivatePosts, Through
from bot.discord_bot.delivery.messages import ReplyMessages, ReplyTarget, age, reads_history
from bot.discord_bot.delivery.offers import ButtonOffer
from bot.discord_bot.delivery.reactions import Reactions
from bot.discord_bot.delivery.reconciler import LiveReply
from bot.discord_bot.delivery.records import MessageRecords
from bot.discord_bot.delivery.scheduler import Scheduler
from bot.discord_bot.delivery.view import NOTE_LIMIT, Buttons
from bot.discord_bot.names import stored_name
from bot.texts import small_print, threads
from bot.texts.files import FileNotes

Spawn = Callable[[Coroutine[Any, Any, None]], object]
"""Runs a coroutine in the background and keeps its task alive."""


class ReplyOpener:
    """Opens the live replies of one client. In a guild's channels a reply over `max_messages` messages is a file.

    `forget` deletes a turn for good. `live` are the replies of the attempts that are running.
    """

    def __init__(
        self,
        client: discord.Client,
        scheduler: Scheduler,
        reactions: Reactions,
        spawn: Spawn,
        records: MessageRecords,
        max_messages: int | None,
        forget: Callable[[int], Awaitable[None]],
    ) -> None:
        self._client = client
        self._scheduler = scheduler
        self._reactions = reactions
        self._spawn = spawn
        self._max_messages = max_messages
        self._forget = forget
        self.deletions = DeletionLog()
        self.private_posts = PrivatePosts()
        self.records = records
        self.live: WeakKeyDictionary[ActiveAttempt, LiveReply] = WeakKeyDictionary()

    def open(
        self,
        running: ActiveAttempt,
        channel: object,
        beginning: Beginning | None = None,
        *,
        notices: Sequence[str] = (),
        files: FileNotes | None = None,
        partial: PartialDelivery | None = None,
        waited: float = 0.0,
        ping: Ping = Ping.AUTO,
        through: Through | None = None,
        before_end: BeforeEnd | None = None,
    ) -> ReplyActivity:
        """Open the reply of an attempt.

        `channel` is what discord.py knows of the reply's channel, or None. `notices` stand under a reply with text, as
        far as there is room, and `files` under any; both are read when it has ended, after `before_end`, but the words
        that were heard stand under the beginning from the start. `partial` is what an earlier process has posted,
        `waited` the seconds since the prompt was written, and `ping` what its author wants. With `through` the reply
        answers that interaction.
        """
        prompt, beginning = running.prompt, beginning or Fresh()
        target = self._target(prompt, reads_history(channel), waited, ping)
        target = replace(target, elsewhere=_elsewhere(prompt, channel))

        def note(outcome: Outcome) -> str | None:
            above, below = [*notices] if outcome.text else [], texts.note(outcome)
            # The reply may come as a file, which is said above all this.
            room = NOTE_LIMIT - len("\n".join(["", texts.AS_FILE, *above, below or "", ""]))
            if room < 0:
                above = [texts.SHORTER.get(each, each) for each in above]
            about_files = files.lines(room) if files is not None else ()
            return "\n".join(filter(None, (*above, *about_files, below))) or None

        def about_prompt(room: int) -> str | None:
            # Of several voice messages, an earlier attempt may have heard some.
            words = " ".join(filter(None, (heard(prompt.text), *(files.heard if files is not None else ()))))
            return _about(prompt, prompt.text, words, room)

        record = self.records.of(running.attempt)
        first_part = beginning.part_count if isinstance(beginning, ContinuedBelow) else 0
        gateway: ReplyMessages
        if through is None:
            gateway = ReplyMessages(target, record, self.deletions, first_part=first_part, partial=partial)
        else:
            self._scheduler.add_interaction(through.interaction.id)
            gateway = InteractionMessages(
                through, target, record, self.deletions, self.private_posts, first_part=first_part
            )
        for_one = is_for_one(prompt.conversation)
        live = LiveReply(
            target.channel.id if through is None else through.interaction.id,
            gateway,
            self._scheduler,
            note=note,
            about_prompt=about_prompt,
            beginning=beginning,
            max_messages=None if for_one else self._limit_in(channel, len(sent_messages(beginning))),
        )
        self.live[running] = live
        if through is not None and isinstance(gateway, InteractionMessages):
            self._spawn(_leave_in_time(through, gateway, running, live))
        self._spawn(self._stop_when_deleted(running, live))
        if anchor_of(prompt) in self.deletions:
            running.stop(StopReason.PROMPT_DELETED)
        place = self._client.get_partial_messageable(asked_in(prompt))
        in_message = through is None and not asked_by_command(prompt)
        message = place.get_partial_message(anchor_of(prompt)) if in_message else None
        activity = ReplyActivity(
            live, message, target.channel, self._reactions, self._scheduler, self._spawn, before_end
        )
        activity.show_elsewhere = lambda outcome: self._show_elsewhere(prompt, target, outcome)
        return activity

    async def show_end(self, turn: Turn, partial: PartialDelivery, outcome: Outcome, ping: Ping) -> bool:
        """Show the end of a turn in the messages of an earlier process. False: another process may still show it."""
        target = self._target(turn, waited=age(message_of(turn)), ping=ping)
        target = replace(target, elsewhere=_elsewhere(turn, self.known_channel(turn)))
        record = self.records.of(Attempt(turn.id, turn.attempt))
        live = LiveReply(
            target.channel.id,
            ReplyMessages(target, record, self.deletions, partial=partial, same_nonces=True),
            self._scheduler,
            note=texts.note,
            about_prompt=lambda room: _about(turn, turn.prompt, heard(turn.prompt), room),
            beginning=ContinuedInPlace(partial.sent, partial.orphaned),
            max_messages=self._limit_in(None, len(partial.sent)),
        )
        seen = await live.finish(outcome)
        if live.lifecycle.deleted:
            await self._forget(turn.id)
        if live.lifecycle.shut_out:
            return await self._show_elsewhere(turn, target, outcome)
        return seen

    async def _show_elsewhere(self, prompt: Prompt | Turn, shut_out: ReplyTarget, outcome: Outcome) -> bool:
        """Show a whole reply in the channel of a thread in which the bot may not write any more, if it is public.

        Its messages are on no record: those of the thread are. False: another process may still show it.
        """
        if shut_out.elsewhere is None or outcome.stop_reason is not None:
            return True
        channel = self._client.get_partial_messageable(shut_out.elsewhere)
        asked_here = prompt.asked_in is not None
        mention = None if asked_here else prompt.user_id
        target = replace(shut_out, channel=channel, can_quote=asked_here, about=None, mention=mention)
        lines = [threads.answered_here(channel_of(prompt.conversation)), *filter(None, [texts.note(outcome)])]
        if len("\n".join(["", texts.AS_FILE, *lines])) > NOTE_LIMIT:
            del lines[0]
        live = LiveReply(
            channel.id,
            ReplyMessages(target, None, DeletionLog()),
            self._scheduler,
            note=lambda _: "\n".join(lines),
            max_messages=self._limit_in(self._client.get_channel(channel.id), 0),
        )
        return await live.finish(Outcome(TurnState.COMPLETE, outcome.text))

    def offer(self, turn: Turn, message_id: int, offered: Buttons) -> None:
        """Show buttons under a message of the ended reply to a turn."""
        view = under_reply(offered, turn.attempt)
        if view is not None:
            ButtonOffer(self._target(turn).channel.get_partial_message(message_id), view, self._scheduler)

    async def show_again(self, turn: Turn, outcome: Outcome, through: Through) -> bool:
        """Show a reply, whose end nobody has seen, in further messages of an interaction. False: it is not shown."""
        self._scheduler.add_interaction(through.interaction.id)
        record = self.records.of(Attempt(turn.id, turn.attempt))
        live = LiveReply(
            through.interaction.id,
            InteractionMessages(through, self._target(turn), record, self.deletions, self.private_posts),
            self._scheduler,
            note=texts.note,
            about_prompt=lambda room: small_print.earlier(_typed(turn.prompt), room),
        )
        seen = await live.finish(outcome)
        # Where nothing could be posted, the token has run out meanwhile.
        return seen and len(live.shown) > 0

    def known_channel(self, turn: Turn) -> object:
        """What discord.py knows of the channel of a turn. None: nothing."""
        return self._client.get_channel(channel_of(turn.conversation))

    def _target(
        self, prompt: Prompt | Turn, can_quote: bool = True, waited: float = 0.0, ping: Ping = Ping.AUTO
    ) -> ReplyTarget:
        channel = self._client.get_partial_messageable(channel_of(prompt.conversation))
        # A message in another channel cannot be replied to, and a reply to another person's message would ping them. A
        # question that came with /ask is in no message.
        by_command = asked_by_command(prompt)
        about_message = prompt.target_id is not None and prompt.guild_id is not None and not by_command
        return ReplyTarget(
            channel,
            message_of(prompt),
            can_quote and prompt.asked_in is None and not by_command,
            waited,
            ping,
            None if by_command else prompt.target_id,
            prompt.user_id if prompt.asked_in is not None or about_message or by_command else None,
        )

    def _limit_in(self, channel: object, shown: int) -> int | None:
        """The number of messages over which a reply is a file. None: there is no such number.

        Long replies flood a channel, but not a thread or a DM. A channel that discord.py does not know (None) counts
        as a guild's channel, in which the messages that are shown already may stay.
        """
        if self._max_messages is None or not (channel is None or isinstance(channel, discord.abc.GuildChannel)):
            return None
        return max(self._max_messages, shown) if channel is None else self._max_messages

    async def _stop_when_deleted(self, running: ActiveAttempt, live: LiveReply) -> None:
        """Stop and forget a reply that people deleted: nobody sees its further tokens, which would be billed."""
        await live.lifecycle.done.wait()
        if live.lifecycle.deleted:
            running.stop(StopReason.REPLY_DELETED)
            await self._forget(running.attempt.turn_id)


def _elsewhere(prompt: Prompt | Turn, channel: object) -> int | None:
    """The channel in which a reply can be shown that cannot be shown in its thread, if everybody there sees both."""
    if prompt.asked_in is not None:
        return asked_in(prompt)
    if not isinstance(channel, discord.Thread) or is_for_one(prompt.conversation):
        return None
    public = channel.type is not discord.ChannelType.private_thread and isinstance(channel.parent, discord.TextChannel)
    return channel.parent_id if public else None


def _about(prompt: Prompt | Turn, text: str, words: str, room: int) -> str | None:
    """The small lines about a prompt with this text: who asked what, if no message says so, and what was heard."""
    lines: list[str] = []
    if prompt.target_id is not None:
        name = stored_name(prompt.author_name)
        by_command = asked_by_command(prompt)
        line = (
            small_print.asked(name, _typed(text), room)
            if by_command
            else small_print.asked_about(name, asked(text), room)
        )
        lines += [line] if line else []
    said = small_print.heard(words, room - len("\n".join([*lines, ""])))
    return "\n".join([*lines, *([said] if said else [])]) or None


def _typed(prompt: str) -> str:
    """A question that came with /ask, without the lines about its file, which only the platform can write."""
    return prompt.partition("\n⟦")[0]


async def _leave_in_time(
    through: Through, messages: InteractionMessages, running: ActiveAttempt, live: LiveReply
) -> None:
    """Before Discord no longer takes the token, have a reply go on without it, or end it."""
    try:
        async with asyncio.timeout(max(0.0, through.seconds_left)):
            await live.lifecycle.done.wait()
    except TimeoutError:
        if through.goes_on:
            messages.leave(begun=len(live.shown) > 0)
            live.move_to(channel_of(running.prompt.conversation))
        else:
            running.stop(StopReason.TIME_UP)
