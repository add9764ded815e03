"""The operator's commands that write a conversation to a file and take one from a file. Both work while the bot runs.

Each prints what it did and returns the command's exit code.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from bot.core.errors import StoreUnusable, TranscriptError
from bot.core.turns import Conversation
from bot.operator.maintenance import existing
from bot.store import Store
from bot.store.databases import Database, DatabaseServer, open_store
from bot.texts import transcripts as words
from bot.transcripts.reading import read_transcript
from bot.transcripts.transfer import MANY, export_to, export_to_file, import_into
from bot.transcripts.writing import Format, format_of

_LISTED = 10


async def export_conversation(
    database: Database, conversation: Conversation, file: Path | None, format_name: str | None
) -> int:
    """Write a conversation to a new file, or (None) to standard output, which then gets nothing else."""
    format_ = format_of(file) if format_name is None else Format(format_name)
    async with open_store(existing(database), exclusive=False) as store:
        if not await store.conversations.exists(conversation):
            _say(words.unknown_conversation(conversation, await _last_used(store)))
            return 1
        if file is None:
            with _standard_output() as stream:
                exported = await export_to(store, conversation, format_, stream, _say)
        else:
            exported = await export_to_file(store, conversation, format_, file, _say)
            print(words.exported(exported.questions, str(file)))
    for note in words.notes(exported.left_out, exported.unfinished):
        _say(note)
    return 0


async def import_conversation(database: Database, file: Path, conversation: Conversation) -> int:
    """Make the messages in a file the past of a conversation."""
    transcript = await asyncio.to_thread(read_transcript, file)
    path = existing(database) if conversation.platform == "discord" else database
    questions = len(transcript.exchanges)
    # A file has one write at a time, for which a bot would have to wait.
    alone = questions > MANY and not isinstance(database, DatabaseServer)
    try:
        async with open_store(path, exclusive=alone) as store:
            await import_into(store, conversation, transcript, _say)
    except StoreUnusable:
        if alone:
            _say(words.only_while_stopped(questions))
        raise
    print(words.imported(questions, conversation))
    return 0


@contextmanager
def _standard_output() -> Iterator[BinaryIO]:
    """Standard output for bytes. Raises TranscriptError where it cannot be written, as on a full disk."""
    try:
        yield sys.stdout.buffer
    except BrokenPipeError:
        raise
    except OSError as error:
        # At its end the interpreter would write what is left, and print an error.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        raise TranscriptError(words.unwritable("Standard output", error.strerror or str(error))) from None


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


async def _last_used(store: Store) -> list[tuple[Conversation, int]]:
    """The conversations that were used last, and their questions."""
    async for page in store.conversations.overview():
        return [(each.conversation, each.turns) for each in page[:_LISTED]]
    return []
