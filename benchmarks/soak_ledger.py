"""What people asked in a soak, what was done to it, and how its answers look to them."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from bot.standin.entities import Channel, Message, MessageType, User
from bot.standin.server import DiscordStandin


@dataclass(frozen=True, slots=True)
class Question:
    """What somebody is about to ask. It may never get to the bot."""

    channel: Channel
    by: User


@dataclass
class Asked:
    """One prompt, and what people did to it afterwards, which explains what became of it."""

    message: Message
    alive: bool
    """Whether the bot was up when it was said."""
    forgotten: bool = False
    """A reset, or the deletion of the prompt or of its reply, may have taken it out of the database."""
    excused: bool = False
    """It may be without an answer: it or its answer was deleted, or a kill came just after a reset had removed it."""
    by: User | None = None
    """Who asked about the message, which is another person's or the answer. None: it is the question itself."""
    command: str | None = None
    """What was asked with /ask: the message is then the one that the command is answered with."""
    private: bool = False
    """Whether only the asker sees the answer."""

    def is_taken(self) -> None:
        """Note that the bot is known to have accepted it. An answer for oneself is audited by its asker."""
        self.forgotten = self.excused = self.private


@dataclass
class Ledger:
    """What happened, and what was found wrong with it."""

    questions: list[Question] = field(default_factory=list)
    """All that people began to ask, by number."""
    asked: list[Asked] = field(default_factory=list)
    """What people are seen to have asked."""
    did: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def number(self, channel: Channel, by: User) -> int:
        """The number of a question that somebody is about to ask."""
        self.questions.append(Question(channel, by))
        return len(self.questions) - 1


def heads_of(discord: DiscordStandin, asked: Asked) -> list[Message]:
    """The messages that begin an answer to the prompt."""
    shown = discord.bot_messages(asked.message.channel)
    if asked.command is not None:
        # Discord shows nobody else the question, so it stands under the answer.
        return [message for message in shown if f"asked: “{asked.command}”" in message.content]
    heads = [message for message in shown if message.reply_to is asked.message]
    if asked.message.thread is not None:
        heads += [
            message
            for message in discord.bot_messages(asked.message.thread)
            if message.type == MessageType.DEFAULT and not message.silent
        ]
    return heads


def is_answered(discord: DiscordStandin, asked: Asked) -> bool:
    """Whether the whole answer, or why there is none, is shown."""
    heads = heads_of(discord, asked)
    return bool(heads) and not any(button.get("label") == "Stop" for each in heads for button in each.buttons)
