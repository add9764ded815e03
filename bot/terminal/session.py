"""One conversation in the terminal: each line is a prompt or a command."""

from __future__ import annotations

import logging
import time

from bot import texts
from bot.core.attempt import ActiveAttempt
from bot.core.errors import StoreError
from bot.core.protocols import ReplySink
from bot.core.service import ConversationService
from bot.core.turns import Attempt, Conversation, Outcome, Prompt, Turn, TurnState
from bot.store import Store
from bot.terminal.interrupts import Interrupts
from bot.terminal.output import Output, Problems
from bot.terminal.reply import TerminalReply
from bot.terminal.text import plain
from bot.texts import terminal as words

_log = logging.getLogger(__name__)


class Session:
    """One conversation. `answers` is the stream for replies, `talk` the one for the program's own lines."""

    def __init__(
        self,
        store: Store,
        conversations: ConversationService,
        conversation: Conversation,
        answers: Output,
        talk: Output,
        problems: Problems,
        interrupts: Interrupts,
    ) -> None:
        self._store = store
        self._conversations = conversations
        self._conversation = conversation
        self._answers = answers
        self._talk = talk
        self._problems = problems
        self._interrupts = interrupts
        self._position = 0
        self.over = False
        self.failed = False
        """Whether a prompt or a command failed."""
        self.empty = False
        """Whether the last line was a /reset that worked."""

    async def resume(self) -> tuple[int, Turn | None]:
        """Take the conversation up. Returns the number of its questions, and its last turn, which may be unfinished."""
        await self._store.turns.interrupt_left_over(self._conversation.platform, self._conversation.channel)
        unfinished = await self._store.turns.undelivered(self._conversation.platform, self._conversation.channel)
        for turn in unfinished:
            await self._store.turns.mark_delivered(Attempt(turn.id, turn.attempt))
        turns = unfinished + await self._store.turns.history(self._conversation, 1)
        last = max(turns, key=lambda turn: turn.position, default=None)
        self._position = last.position if last else 0
        return await self._store.turns.count(self._conversation), last

    async def prompts(self, limit: int) -> list[str]:
        """The last answered prompts, oldest first."""
        return [turn.prompt for turn in reversed(await self._store.turns.history(self._conversation, limit))]

    async def take(self, text: str) -> None:
        """Answer a prompt, or carry out a command."""
        self.empty = False
        match text.lower():
            case "":
                pass
            case "/reset":
                await self._reset()
            case "/help":
                self._talk.say(words.HELP)
            case "/quit" | "/exit":
                self.over = True
            case command if command.startswith("//"):
                await self._answer(text[1:])
            case command if command.startswith("/"):
                self.failed = True
                self._talk.say(words.unknown_command(plain(text.split()[0])))
            case _:
                await self._answer(text)
        self._problems.tell()

    async def _reset(self) -> None:
        try:
            forgotten = await self._conversations.forget(self._conversation)
        except StoreError as error:
            self._fail(texts.NOT_RESET, error)
            return
        self.empty = True
        self._talk.say(words.forgotten(len(forgotten)))

    async def _answer(self, text: str) -> None:
        def show(running: ActiveAttempt) -> ReplySink:
            self._interrupts.stopping(running)
            return TerminalReply(running, self._answers, self._talk.say)

        outcome: Outcome | None = None
        try:
            while outcome is None:
                # A later turn needs a higher position, though the clock may be coarse or set back, and another process
                # may use the conversation too: then the position is taken, and the next one is tried.
                self._position = max(time.time_ns(), self._position + 1)
                outcome = await self._conversations.answer(Prompt(self._conversation, self._position, text), show)
        except StoreError as error:
            self._fail(texts.CANNOT_SAVE, error)
            return
        except Exception:  # noqa: BLE001 - one question fails, and the chat goes on
            self.failed = True
            self._talk.say(texts.full_size(texts.WENT_WRONG))
            _log.exception("A question could not be answered for a defect.")
            return
        if outcome.state is TurnState.FAILED:
            self.failed = True
        unwritable = self._answers.error
        if unwritable is not None and not self._answers.reader_left:
            self._fail(words.CANNOT_WRITE, unwritable)
        self.over = unwritable is not None or self._interrupts.count > 1

    def _fail(self, note: str, error: Exception) -> None:
        self.failed = True
        self._talk.say(texts.full_size(note))
        _log.warning("%s", error)
