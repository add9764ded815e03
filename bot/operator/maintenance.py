"""The operator's commands on the database: copy, list, report, delete a person's data, and give space back.

Each function prints what it did and returns the command's exit code. All but `compact_database` work while the bot
runs.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
import time
from pathlib import Path

from bot.core.errors import StoreError, StoreUnusable
from bot.core.usage import DAY, Prices
from bot.operator import reports
from bot.store import Store
from bot.store.databases import NEEDS_PACKAGE, Database, DatabaseServer, open_store
from bot.store.sqlite import backup, compact

_NOTICE_DELAY = 2.0
"""Seconds of erasing or moving after which a command says what it waits for, or how far it is."""
_PEOPLE = 10
"""People whose usage is reported."""


async def copy_database(database: Database, file: Path) -> int:
    if isinstance(database, DatabaseServer):
        raise StoreError(reports.copied_by_pg_dump(str(database), file))
    await backup(database, file)
    print(f"Copied the conversations to {file}.")
    return 0


async def compact_database(database: Database) -> int:
    if isinstance(database, DatabaseServer):
        print(reports.COMPACTED_BY_ITSELF)
        return 0
    before, after = await compact(database, lambda part: print(reports.compacting(part), flush=True))
    print(reports.compacted(database, before, after))
    return 0


async def move_database(database: Database, to: DatabaseServer) -> int:
    if isinstance(database, DatabaseServer):
        raise StoreError("DATABASE_URL is set: in its place, set DATABASE_PATH to the file to move.")
    try:
        from bot.store.moving import Progress, move
    except ImportError:
        raise StoreError(NEEDS_PACKAGE) from None
    said_at = time.monotonic()

    def tell(progress: Progress) -> None:
        nonlocal said_at
        if time.monotonic() - said_at >= _NOTICE_DELAY:
            said_at = time.monotonic()
            print(reports.moving(progress.step, progress.done, progress.of), flush=True)

    moved = await move(database, to.url, tell)
    print(reports.moved(database, str(to), moved.turns, moved.conversations, moved.unprepared))
    return 0


async def list_conversations(database: Database) -> int:
    conversations = questions = size = 0
    table = reports.ConversationTable(_width())
    async with open_store(existing(database), exclusive=False) as store:
        async for page in store.conversations.overview():
            if not conversations:
                print(table.heads())
            print(*table.lines(page), sep="\n")
            conversations += len(page)
            questions += sum(each.turns for each in page)
            size += sum(each.size for each in page)
    print(reports.total(conversations, questions, size))
    return 0


async def report_usage(database: Database, days: int, prices: Prices) -> int:
    """Print what was used in the last `days` days of UTC, today included."""
    async with open_store(existing(database), exclusive=False) as store:
        report = await store.usage.report(int(time.time()) // DAY - days + 1, _PEOPLE)
    print(reports.usage(report, prices, width=_width()))
    return 0


async def forget(database: Database, user_id: int, *, confirmed: bool) -> int:
    """Delete what is stored of a person. Unless `confirmed`, somebody at a terminal is asked first."""
    async with open_store(existing(database), exclusive=False) as store:
        extent = await store.people.record_of(user_id)
        if extent.is_empty:
            # A bot that runs may remember what they wrote lately, which is on no record.
            await store.people.forget(user_id)
            print(reports.nothing_stored(user_id))
            return await _erase(store)
        print(reports.deletion_preview(user_id, extent))
        if not confirmed:
            if not sys.stdin.isatty():
                print("To delete it without being asked, add --yes.", file=sys.stderr)
                return 2
            if not _ask("Delete it for good? [y/N] "):
                print("Nothing is deleted.")
                return 1
        forgotten = await store.people.forget(user_id)
        print(reports.deleted(user_id, len(forgotten), blocked=extent.blocked))
        return await _erase(store)


async def _erase(store: Store) -> int:
    """Take what was deleted out of the file's bytes. Returns the exit code."""
    erasing = asyncio.create_task(store.engine.erase_deleted())
    if not (await asyncio.wait([erasing], timeout=_NOTICE_DELAY))[0]:
        print(reports.ERASING, flush=True)
    try:
        await erasing
    except StoreError:
        print(reports.NOT_ERASED, file=sys.stderr)
        return 1
    return 0


def existing(database: Database) -> Database:
    """The database, if there is such a file: these commands have nothing to do with a new one. Raises StoreUnusable."""
    if isinstance(database, Path) and not database.exists():
        raise StoreUnusable(f"The database {database} does not exist: start the bot first, or choose another file.")
    return database


def _width() -> int:
    """The terminal's columns. At least 80: in a narrower terminal, whole ids matter more than unbroken lines."""
    return max(80, shutil.get_terminal_size().columns) if sys.stdout.isatty() else reports.WIDTH


def _ask(question: str) -> bool:
    # Under asyncio, the first Ctrl-C only cancels the main task, which waits for the answer itself.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return input(question).strip().lower() in ("y", "yes")
    except EOFError:
        print()
        return False
    finally:
        signal.signal(signal.SIGINT, before)
