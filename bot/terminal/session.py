"""One conversation in the terminal: each line is a prompt or a command."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine
from pathlib import Path

from bot import texts
from bot.core.attempt import ActiveAttempt
from bot.core.errors import StoreError, TranscriptError
from bot.core.protocols import ReplySink
from bot.core.service import ConversationService
from bot.core.turns import Attempt, Conversation, Outcome, Prompt, Turn, TurnState
from bot.store import Store
from bot.terminal.attaching import AttachmentError, Attachments, typed
from bot.terminal.interrupts import Interrupts
from bot.terminal.output import Output, Problems
from bot.terminal.reply import TerminalReply
from bot.terminal.text import plain
from bot.texts import terminal as words
from bot.texts import transcripts as files
from bot.texts.access import NOT_SAVED
from bot.texts.privacy import UNREACHABLE
from bot.transcripts.reading import read_transcript
from bot.transcripts.transfer import MANY, export_to_file, import_into
from bot.transcripts.writing import format_of

_SAVED = "messages.json"
"""The file of a /save that names none."""

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
        self._attachments = Attachments(conversations, conversation)
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
        """The last answered prompts as they were typed, oldest first."""
        return [typed(turn.prompt) for turn in reversed(await self._store.turns.history(self._conversation, limit))]

    async def take(self, text: str) -> None:
        """Answer a prompt, or carry out a command."""
        self.empty = False
        command, *argument = text.split(None, 1) or [""]
        match command.lower(), argument:
            case "", []:
                pass
            case "/reset", []:
                await self._reset()
            case "/save", _:
                await self._transfer(self._save(_path(*argument or [_SAVED])))
            case "/load", [file]:
                await self._transfer(self._load(_path(file)))
            case "/load", []:
                self._refuse(files.NO_FILE_NAMED)
            case "/attach", [file]:
                await self._attach(_path(file))
            case "/attach", []:
                self._refuse(words.NO_FILE_TO_ATTACH)
            case "/help", []:
                self._talk.say(words.HELP)
            case (("/quit" | "/exit"), []):
                self.over = True
            case _ if command.startswith("//"):
                await self._answer(text[1:])
            case _ if command.startswith("/"):
                self._refuse(words.unknown_command(plain(command)))
            case _:
                await self._answer(text)
        self._problems.tell()

    async def _reset(self) -> None:
        try:
            forgotten = await self._conversations.forgetting.forget(self._conversation)
        except StoreError as error:
            self._fail(texts.NOT_RESET, error)
            return
        self.empty = True
        self._talk.say(words.forgotten(len(forgotten)))

    async def _save(self, file: Path) -> None:
        exported = await export_to_file(self._store, self._conversation, format_of(file), file, self._talk.say)
        self._talk.say(files.exported(exported.questions, plain(str(file))))
        for note in files.notes(exported.left_out, exported.unfinished):
            self._talk.say(note)

    async def _load(self, file: Path) -> None:
        transcript = await asyncio.to_thread(read_transcript, file)
        questions = len(transcript.exchanges)
        if questions > MANY:
            raise TranscriptError(files.too_many_to_load(str(file), questions, self._conversation))
        await import_into(self._store, self._conversation, transcript, self._talk.say)
        self._talk.say(files.loaded(questions, plain(str(file))))

    async def _attach(self, file: Path) -> None:
        try:
            self._talk.say(plain(await self._attachments.add(file)))
        except AttachmentError as error:
            self._refuse(plain(str(error)))
        except StoreError as error:
            self._fail(UNREACHABLE, error)

    async def _transfer(self, work: Coroutine[None, None, None]) -> None:
        try:
            await work
        except TranscriptError as error:
            self._refuse(plain(str(error)))
        except StoreError as error:
            self._fail(NOT_SAVED, error)

    def _refuse(self, sentence: str) -> None:
        self.failed = True
        self._talk.say(sentence)

    async def _answer(self, text: str) -> None:
        def show(running: ActiveAttempt) -> ReplySink:
            self._interrupts.stopping(running)
            return TerminalReply(running, self._answers, self._talk.say)

        question, pictures = self._attachments.question(text)
        outcome: Outcome | None = None
        try:
            while outcome is None:
                # A later turn needs a higher position, though the clock may be coarse or set back, and another process
                # may use the conversation too: then the position is taken, and the next one is tried.
                self._position = max(time.time_ns(), self._position + 1)
                prompt = Prompt(self._conversation, self._position, question, pictures=pictures)
                outcome = await self._conversations.answer(prompt, show)
        except StoreError as error:
            self._fail(texts.CANNOT_SAVE, error)
            return
        except Exception:  # noqa: BLE001 - one question fails, and the chat goes on
            self.failed = True
            self._talk.say(texts.full_size(texts.WENT_WRONG))
            _log.exception("A question could not be answered, because of a bug.")
            return
        self._attachments.clear()
        if outcome.state is TurnState.FAILED:
            self.failed = True
        unwritable = self._answers.error
        if unwritable is not None and not self._answers.reader_left:
            self._fail(words.CANNOT_WRITE, unwritable)
        self.over = unwritable is not None or self._interrupts.count > 1

    async def close(self) -> None:
        """End what reads files."""
        await self._attachments.close()

    def _fail(self, note: str, error: Exception) -> None:
        self.failed = True
        self._talk.say(texts.full_size(note))
        _log.warning("%s", error)


def _path(name: str) -> Path:
    """The file that somebody typed, where no shell has replaced a "~"."""
    try:
        return Path(name).expanduser()
    except RuntimeError:  # there is no such user
        return Path(name)
