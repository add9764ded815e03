"""Carries a conversation from the store to a file, and from a file to the store."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from bot.core.errors import TranscriptError
from bot.core.records import ImportRefusal, Transcript
from bot.core.turns import PERSONA_LENGTH, Conversation
from bot.store import Store
from bot.texts import transcripts as words
from bot.transcripts.writing import Format, writer_of

MANY = 10_000
"""Exchanges that are imported beside other programs at the most: they wait meanwhile, on a slow disk for seconds."""

SAY_EVERY = 2.0
"""Seconds after which a person is told how far it is."""

Say = Callable[[str], None]
"""Tells a person how far it is."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What a file has: questions with their answers, of which some are unfinished. Others may be left out of it."""

    questions: int = 0
    left_out: int = 0
    unfinished: int = 0


async def export_to(
    store: Store, conversation: Conversation, format_: Format, stream: BinaryIO, say: Say = lambda _: None
) -> Exported:
    """Write a conversation to a stream, in UTF-8. Raises TranscriptError, with nothing written, if it is empty."""
    persona = (await store.personas.settings_of(conversation)).persona
    total = await store.turns.count(conversation)
    if persona is None and not total:
        raise TranscriptError(words.nothing_to_export(conversation))
    writer = writer_of(format_)
    questions = unfinished = 0
    said_at = time.monotonic()
    stream.write(writer.start(conversation, persona).encode())
    async for page in store.conversations.exchanges(conversation):
        text = await asyncio.to_thread(writer.page, page)  # which may have megabytes
        stream.write(text.encode())
        questions += len(page)
        unfinished += sum(not each.finished and bool(each.reply) for each in page)
        if time.monotonic() - said_at >= SAY_EVERY:
            said_at = time.monotonic()
            say(words.exporting(questions, total))
    stream.write(writer.end().encode())
    stream.flush()
    return Exported(questions - writer.left_out, writer.left_out, unfinished)


async def export_to_file(
    store: Store, conversation: Conversation, format_: Format, file: Path, say: Say = lambda _: None
) -> Exported:
    """Write a conversation to a new file. Raises TranscriptError, with no file made."""
    with _new_file(file) as stream:
        return await export_to(store, conversation, format_, stream, say)


async def import_into(
    store: Store, conversation: Conversation, transcript: Transcript, say: Say = lambda _: None
) -> None:
    """Make a transcript the past of a conversation that has none. Raises TranscriptError, with nothing changed."""
    on_discord = conversation.platform == "discord"
    if on_discord and transcript.persona is not None and len(transcript.persona) > PERSONA_LENGTH:
        raise TranscriptError(words.persona_too_long(len(transcript.persona), PERSONA_LENGTH))
    filling = asyncio.create_task(store.conversations.fill(conversation, transcript))
    if not (await asyncio.wait([filling], timeout=SAY_EVERY))[0]:
        say(words.importing(len(transcript.exchanges)))
    match await filling:
        case ImportRefusal.UNKNOWN:
            raise TranscriptError(words.unknown_channel(conversation))
        case ImportRefusal.NOT_EMPTY:
            raise TranscriptError(words.not_empty(conversation, await store.turns.count(conversation)))
        case ImportRefusal.OTHER_PERSONA:
            raise TranscriptError(words.has_persona(conversation))
        case None:
            pass


@contextmanager
def _new_file(file: Path) -> Iterator[BinaryIO]:
    """A new file that only this user can read. It is removed again if it is not written to its end."""
    made = False
    try:
        with open(file, "xb", opener=lambda path, flags: os.open(path, flags, 0o600)) as stream:
            made = True
            yield stream
    except FileExistsError:
        raise TranscriptError(words.exists(str(file))) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        _remove(file, made=made)
        reason = error.strerror if isinstance(error, OSError) else None
        raise TranscriptError(words.unwritable(str(file), reason or str(error))) from None
    except BaseException:
        _remove(file, made=made)
        raise


def _remove(file: Path, *, made: bool) -> None:
    if made:
        with suppress(OSError):
            file.unlink()
