"""The store on real files: what it remembers, what it forgets, and what it says when it cannot."""

from __future__ import annotations

import asyncio
import os
import random
import sqlite3
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from bot import store as store_module
from bot.errors import StoreError, StoreUnusable
from bot.store import MEMORY, SQLiteStore
from bot.turns import Attempt, Forgotten, Learned, Outcome, Problem, Prompt, Sent, State, Turn, Usage

ROOT = Path(__file__).parent.parent
HERE = "discord:1"

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions and limits")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "chat.db"


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SQLiteStore]:
    async with SQLiteStore.open(path, exclusive=True, clock=lambda: 1000.9) as opened:
        yield opened


async def begin(store: SQLiteStore, position: int, text: str = "Why?", conversation: str = HERE) -> Attempt:
    attempt = await store.begin(Prompt(conversation, position, text))
    assert attempt
    return attempt


async def answer(store: SQLiteStore, position: int, reply: str, conversation: str = HERE) -> Attempt:
    attempt = await begin(store, position, conversation=conversation)
    await store.start(attempt)
    assert await store.close(attempt, Outcome(State.COMPLETE, reply))
    return attempt


def rows(path: Path, sql: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def files(path: Path) -> dict[str, bytes]:
    """Everything that lies beside a database, and itself."""
    return {file.name: file.read_bytes() for file in path.parent.iterdir()}


def write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def said(turns: list[Turn]) -> list[tuple[int, str]]:
    return [(turn.position, turn.reply) for turn in turns]


async def test_a_turn_from_its_prompt_to_the_next_start(path: Path) -> None:
    async with SQLiteStore.open(path, exclusive=True, clock=lambda: 1000.9) as store:
        prompt = Prompt(HERE, 5, "Why?", author_id=2**63 - 1, author_name="Ada", guild_id=3)
        attempt = await store.begin(prompt)
        assert attempt
        assert await store.begin(prompt) is None
        streaming = await store.start(attempt)
        assert streaming == Turn(
            attempt.turn_id, HERE, 5, "Why?", "", State.STREAMING, 1, 2**63 - 1, "Ada", None, created_at=1000
        )
        assert await store.save({attempt: "Bec"}) == {attempt}
        assert await store.close(attempt, Outcome(State.COMPLETE, "Because.", Problem.LENGTH, usage=Usage(7, 2)))
        await store.learn("m", Learned(3.5, None))
        await store.learn("m", Learned(4.5, 9000))

    async with SQLiteStore.open(path, exclusive=True) as store:
        [turn] = await store.history(HERE, 10)
        assert (turn.reply, turn.state, turn.error) == ("Because.", State.COMPLETE, Problem.LENGTH)
        assert await store.count(HERE) == 1
        assert await store.learned("m") == Learned(4.5, 9000)
        assert await store.learned("other") == Learned()
    assert rows(path, "SELECT prompt_tokens, reply_tokens, ended_at, guild_id FROM turns, conversations") == [
        (7, 2, 1000, 3)
    ]


async def test_text_comes_back_as_it_was_but_for_lone_surrogates(store: SQLiteStore) -> None:
    attempt = await begin(store, 1, "a\0b\ud83d", conversation="terminal:\udcff")
    await store.start(attempt)
    await store.save({attempt: "\0 \udc00 🦜 'quoted' \r\n"})
    [turn] = await store.history("terminal:\udcff", 1)
    assert (turn.prompt, turn.reply) == ("a\0b\ufffd", "\0 \ufffd 🦜 'quoted' \r\n")


async def test_a_superseded_attempt_changes_nothing(store: SQLiteStore) -> None:
    first = await begin(store, 1)
    await store.start(first)
    assert await store.reopen(first.turn_id, State.FAILED) is None, "it is still streaming"
    assert await store.close(first, Outcome(State.FAILED, "half", Problem.UNREACHABLE))
    assert not await store.close(first, Outcome(State.COMPLETE, "again")), "an attempt ends once"
    assert await store.start(first) is None
    assert await store.save({first: "late"}) == set()

    second = await store.reopen(first.turn_id, State.FAILED)
    assert second == Attempt(first.turn_id, 2)
    assert await store.reopen(first.turn_id, State.FAILED) is None, "pressed twice"
    assert not await store.close(first, Outcome(State.COMPLETE, "late"))
    assert await store.start(first) is None
    assert not await store.posting(first, 0, 0, "late")
    turn = await store.start(second)
    assert turn
    assert (turn.reply, turn.state, turn.error) == ("half", State.STREAMING, None)
    assert await store.save({first: "late", Attempt(99): "of nobody"}) == set()
    assert await store.save({first: "late", second: "whole", Attempt(99): "of nobody"}) == {second}
    assert await store.save({}) == set()
    assert said(await store.history(HERE, 9)) == [(1, "whole")]


async def test_a_forgotten_conversation_stays_forgotten(store: SQLiteStore) -> None:
    kept = await answer(store, 1, "kept", conversation="discord:10")
    done = await answer(store, 1, "done")
    failed = await begin(store, 2)
    await store.close(failed, Outcome(State.FAILED, problem=Problem.SETUP))
    running = await begin(store, 3)
    await store.start(running)
    await store.posting(running, 0, 0, "n")

    gone = frozenset(attempt.turn_id for attempt in (done, failed, running))
    assert await store.forget(HERE) == Forgotten(exchanges=1, turn_ids=gone)
    assert await store.save({running: "late"}) == set()
    assert not await store.close(running, Outcome(State.COMPLETE, "late"))
    assert not await store.posting(running, 1, 9, "n")
    await store.posted(running, 0, 77)
    assert await store.turn_of_message(77) is None
    assert await store.earlier(running.turn_id, None, 9) == []
    assert await store.count(HERE) == 0
    assert await store.forget(HERE) == Forgotten(0, frozenset())
    assert await store.forget("discord:nobody") == Forgotten(0, frozenset())

    assert (await begin(store, 1)).turn_id > max(gone), "ids are not used again"
    assert said(await store.history("discord:10", 9)) == [(1, "kept")]
    assert kept.turn_id not in gone


@pytest.mark.parametrize("seed", [1, 3, 4, 5])
async def test_forgetting_leaves_no_bytes(store: SQLiteStore, path: Path, seed: int) -> None:
    """Two conversations grow side by side in the same pages; `secure_delete` alone leaves copies under these seeds."""
    draw = random.Random(seed)
    words: dict[Attempt, str] = {}
    for position in range(60):
        conversation, word = draw.choice([("discord:mine", "SECRET"), ("discord:theirs", "public")])
        attempt = await begin(store, position, word * draw.randrange(1, 100), conversation)
        await store.start(attempt)
        words[attempt] = word
    replies = dict.fromkeys(words, "")
    for _ in range(10):
        growing = draw.sample(list(words), 20)
        replies |= {attempt: replies[attempt] + words[attempt] * draw.randrange(1, 100) for attempt in growing}
        await store.save({attempt: replies[attempt] for attempt in growing})

    await store.forget("discord:mine")
    found = {name: content.count(b"SECRET") for name, content in files(path).items()}
    assert found == {"chat.db": 0, "chat.db-wal": 0, "chat.db-shm": 0, "chat.db.lock": 0}
    assert b"public" in files(path)["chat.db"]


async def test_forgetting_does_not_hang_on_a_reader(store: SQLiteStore, path: Path) -> None:
    await answer(store, 1, "SECRET")
    with closing(sqlite3.connect(path)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM turns").fetchall()
        assert (await asyncio.wait_for(store.forget(HERE), 4)).exchanges == 1
    await store.forget(HERE)
    assert not any(b"SECRET" in content for content in files(path).values())


async def test_context_is_listed_newest_first_page_by_page(store: SQLiteStore) -> None:
    for position in (10, 30, 20, 40):
        await answer(store, position, f"r{position}")
    failed = await begin(store, 35)
    await store.close(failed, Outcome(State.FAILED, problem=Problem.BUSY))
    await answer(store, 15, "elsewhere", conversation="discord:2")
    neighbour = await begin(store, 45)
    await store.start(neighbour)
    await store.save({neighbour: "so far"})
    this = await begin(store, 50)
    await answer(store, 60, "later")

    assert said(await store.earlier(this.turn_id, None, 3)) == [(45, "so far"), (40, "r40"), (30, "r30")]
    assert said(await store.earlier(this.turn_id, 30, 3)) == [(20, "r20"), (10, "r10")]
    assert said(await store.earlier(this.turn_id, 99, 1)) == [(45, "so far")]
    assert await store.earlier(this.turn_id, 10, 3) == []


async def test_a_thread_begins_with_the_turn_it_was_opened_on(store: SQLiteStore) -> None:
    origin = await answer(store, 10, "the opening")
    await store.posting(origin, 0, 0, "n")
    await store.posted(origin, 0, 11)

    async def in_thread(position: int) -> Attempt:
        attempt = await store.begin(Prompt("discord:11", position, "And?", origin_message_id=11))
        assert attempt
        await store.start(attempt)
        assert await store.close(attempt, Outcome(State.COMPLETE, f"r{position}"))
        return attempt

    await in_thread(20)
    last = await in_thread(30)
    assert said(await store.earlier(last.turn_id, None, 9)) == [(20, "r20"), (10, "the opening")]
    assert said(await store.earlier(last.turn_id, None, 1)) == [(20, "r20")]
    assert said(await store.earlier(last.turn_id, 20, 9)) == [(10, "the opening")]
    assert await store.earlier(last.turn_id, 10, 9) == []

    await store.forget("discord:11")
    again = await in_thread(40)
    assert await store.earlier(again.turn_id, None, 9) == [], "a reset forgets where the thread came from"
    assert said(await store.history(HERE, 9)) == [(10, "the opening")]


async def test_a_thread_outlives_the_turn_it_was_opened_on(store: SQLiteStore) -> None:
    origin = await answer(store, 10, "the opening")
    await store.posting(origin, 0, 0, "n")
    await store.posted(origin, 0, 11)
    thread = await store.begin(Prompt("discord:11", 20, "And?", origin_message_id=11))
    assert thread
    await store.forget(HERE)
    assert await store.earlier(thread.turn_id, None, 9) == []
    assert await store.start(thread)


async def test_messages_are_recorded_before_and_after_they_are_posted(store: SQLiteStore) -> None:
    attempt = await answer(store, 1, "a long reply")
    assert await store.posting(attempt, 1, 6, "b")
    assert await store.posting(attempt, 0, 0, "a")
    await store.posted(attempt, 0, 100)
    assert await store.sent(attempt.turn_id) == [Sent(0, 0, "a", 100), Sent(1, 6, "b", None)]
    turn = await store.turn_of_message(100)
    assert turn
    assert turn.reply == "a long reply"

    assert await store.posting(attempt, 0, 0, "anew")
    assert await store.sent(attempt.turn_id) == [Sent(0, 0, "anew", None), Sent(1, 6, "b", None)]
    assert await store.turn_of_message(100) is None
    await store.posted(attempt, 1, 101)
    await store.removed(101)
    assert await store.sent(attempt.turn_id) == [Sent(0, 0, "anew", None)]


async def test_a_start_finds_what_nobody_was_told_of_its_own(store: SQLiteStore) -> None:
    await store.told(await answer(store, 1, "done and told"))
    untold = await answer(store, 5, "done")
    pending = await begin(store, 3)
    streaming = await begin(store, 2, conversation="discord:2")
    await store.start(streaming)
    await store.save({streaming: "so far"})
    named = [await begin(store, 4, conversation=f"terminal:{name}") for name in ("a%", "ab", "a%b")]

    assert [turn.conversation for turn in await store.untold("terminal:a%")] == ["terminal:a%"]
    for _ in range(2):
        found = await store.untold("discord:", prefix=True)
        assert [(turn.id, turn.reply, turn.state) for turn in found] == [
            (streaming.turn_id, "so far", State.INTERRUPTED),
            (pending.turn_id, "", State.INTERRUPTED),
            (untold.turn_id, "done", State.COMPLETE),
        ]
    for attempt in (streaming, pending, untold):
        await store.told(attempt)
    assert await store.untold("discord:", prefix=True) == []
    assert [bool(await store.start(attempt)) for attempt in named] == [False, True, True]
    assert await store.reopen(pending.turn_id, State.INTERRUPTED) == Attempt(pending.turn_id, 2)


async def test_a_temporary_store_touches_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    async with SQLiteStore.open(MEMORY, exclusive=True) as store, SQLiteStore.open(MEMORY, exclusive=True) as other:
        this = await begin(store, 2)
        await answer(store, 1, "here")
        assert said(await store.earlier(this.turn_id, None, 9)) == [(1, "here")]
        assert await other.count(HERE) == 0
        assert (await store.forget(HERE)).exchanges == 1
    assert files(tmp_path / MEMORY) == {}


CRASHING = """
import asyncio, itertools, sys
from bot.store import SQLiteStore
from bot.turns import Outcome, Prompt, State

async def talk(store, conversation, positions):
    for position in positions:
        attempt = await store.begin(Prompt(conversation, position, "Why?"))
        print("begun", attempt.turn_id, flush=True)
        await store.start(attempt)
        text = f"reply {attempt.turn_id} " * 200
        for length in range(0, len(text), 500):
            await store.save({attempt: text[:length]})
        await store.close(attempt, Outcome(State.COMPLETE, text))
        print("closed", attempt.turn_id, flush=True)

async def main(path, conversation):
    async with SQLiteStore.open(path, exclusive=True) as store:
        positions = itertools.count(1)
        await asyncio.gather(*(talk(store, conversation, positions) for _ in range(5)))

asyncio.run(main(*sys.argv[1:]))
"""


async def child(script: str, *arguments: object) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, *map(str, arguments), cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )


async def test_killed_at_any_moment_nothing_that_was_finished_is_lost(path: Path) -> None:
    draw = random.Random(7)
    acknowledged: dict[str, set[int]] = {"begun": set(), "closed": set()}
    for conversation in range(3):
        process = await child(CRASHING, path, f"discord:{conversation}")
        assert process.stdout
        for _ in range(draw.randrange(1, 60)):
            what, turn_id = (await process.stdout.readline()).decode().split()
            acknowledged[what].add(int(turn_id))
        process.kill()
        for line in (await process.communicate())[0].decode().splitlines():
            what, turn_id = line.split()
            acknowledged[what].add(int(turn_id))

    async with SQLiteStore.open(path, exclusive=True) as store:
        untold = await store.untold("discord:", prefix=True)
    interrupted = {turn.id for turn in untold if turn.state is State.INTERRUPTED}
    assert rows(path, "PRAGMA integrity_check") == [("ok",)]
    stored = {row[0]: row[1:] for row in rows(path, "SELECT id, state, reply FROM turns")}
    assert acknowledged["begun"] <= stored.keys()
    assert acknowledged["closed"] <= stored.keys() - interrupted
    assert acknowledged["closed"]
    for turn_id, (state, reply) in stored.items():
        whole = f"reply {turn_id} " * 200
        if turn_id in interrupted:
            assert state == State.INTERRUPTED
            assert whole.startswith(reply)
        else:
            assert (state, reply) == (State.COMPLETE, whole)


async def test_fifty_at_once_and_some_cancelled_lose_nothing(store: SQLiteStore) -> None:
    draw = random.Random(3)
    fate = {position: draw.randrange(8) for position in draw.sample(range(1, 51), 20)}
    loop = asyncio.get_running_loop()
    committed: dict[int, list[str]] = {}
    closed: set[int] = set()

    def reach(position: int, step: int) -> None:
        if fate.get(position) == step:
            loop.call_later(draw.uniform(0, 0.002), tasks[position].cancel)

    async def talk(position: int) -> None:
        reach(position, 0)
        attempt = await begin(store, position)
        committed[attempt.turn_id] = [""]
        reach(position, 1)
        await store.start(attempt)
        for length in range(1, 6):
            committed[attempt.turn_id].append(f"{position} " * length)
            reach(position, length + 1)
            assert await store.save({attempt: f"{position} " * length}) == {attempt}
        if position % 10 == 0:
            await begin(store, position, conversation=f"discord:{position}")
            assert len((await store.forget(f"discord:{position}")).turn_ids) == 1
        reach(position, 7)
        assert await store.close(attempt, Outcome(State.COMPLETE, f"{position} " * 5))
        closed.add(attempt.turn_id)

    tasks = {position: asyncio.create_task(talk(position)) for position in range(1, 51)}
    results = await asyncio.gather(*tasks.values(), return_exceptions=True)
    assert all(result is None or isinstance(result, asyncio.CancelledError) for result in results)

    unfinished = {turn.id: turn for turn in await store.untold(HERE) if turn.state is State.INTERRUPTED}
    stored = {turn.id: turn for turn in await store.history(HERE, 99)} | unfinished
    assert closed
    assert unfinished
    assert closed <= stored.keys() - unfinished.keys()
    assert committed.keys() <= stored.keys()
    for turn_id, turn in stored.items():
        replies = committed.get(turn_id, [""])
        # A save that was cancelled may have been committed or not, but nothing before it is undone.
        assert turn.reply in replies[-2:]


async def test_what_is_begun_beside_a_reset_is_either_kept_or_named(store: SQLiteStore) -> None:
    begun: set[int] = set()
    named: set[int] = set()

    async def talk(position: int) -> None:
        begun.add((await begin(store, position)).turn_id)

    async def reset() -> None:
        named.update((await store.forget(HERE)).turn_ids)

    await asyncio.gather(*(reset() if number % 4 == 3 else talk(number) for number in range(41)))
    kept = {turn.id for turn in await store.untold(HERE)}
    assert kept
    assert named
    assert (kept | named, kept & named) == (begun, set())


@pytest.mark.parametrize("text", ["r", ""], ids=["answered", "mostly failed"])
async def test_a_long_history_costs_no_more_than_a_short_one(tmp_path: Path, text: str) -> None:
    async def steps(turns: int) -> int:
        """How many instructions SQLite's machine runs for one turn's context and its writes."""
        path = tmp_path / f"{turns}.db"
        async with SQLiteStore.open(path, exclusive=True) as store:
            for position in range(1, 11):
                await answer(store, position, f"r{position}")
        with closing(sqlite3.connect(path)) as filler, filler:
            filler.execute(
                """
                WITH RECURSIVE numbers (n) AS (SELECT 11 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)
                INSERT INTO turns (conversation_id, position, prompt, reply, state, created_at, told)
                SELECT 1, n, 'p', ?, 'failed', 0, 1 FROM numbers
                """,
                (turns, text),
            )
        taken = 0

        def count() -> None:
            nonlocal taken
            taken += 1

        async with SQLiteStore.open(path, exclusive=True) as store:
            for connection in (store._writer, store._reader):
                await connection.set_progress_handler(count, 1)
            this = await begin(store, turns + 1)
            await store.start(this)
            page = await store.earlier(this.turn_id, None, 10)
            assert len(await store.earlier(this.turn_id, page[-1].position, 10)) == (10 if text else 0)
            assert len(page) == 10
            await store.save({this: "s"})
            await store.close(this, Outcome(State.COMPLETE, "s"))
            await store.history(HERE, 1)
            await store.untold(HERE)
        return taken

    assert await steps(100_000) <= await steps(100) * 1.05


async def test_reading_does_not_wait_for_a_commit(store: SQLiteStore, path: Path) -> None:
    await answer(store, 1, "done")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        writing = asyncio.create_task(begin(store, 2))
        assert said(await asyncio.wait_for(store.history(HERE, 9), 1)) == [(1, "done")]
        assert not writing.done()
        other.execute("COMMIT")
    await writing


@posix_only
async def test_its_files_are_the_owners_alone(path: Path) -> None:
    before = os.umask(0)
    try:
        async with SQLiteStore.open(path, exclusive=True) as store:
            await answer(store, 1, "private")
            modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    finally:
        os.umask(before)
    assert modes == dict.fromkeys(("chat.db", "chat.db-wal", "chat.db-shm", "chat.db.lock"), 0o600)


async def test_one_running_bot_and_any_number_of_chats(path: Path) -> None:
    holder = await child(
        """
import asyncio, sys
from bot.store import SQLiteStore

async def main(path):
    async with SQLiteStore.open(path, exclusive=True):
        print("open", flush=True)
        await asyncio.sleep(60)

asyncio.run(main(*sys.argv[1:]))
""",
        path,
    )
    assert holder.stdout
    await holder.stdout.readline()
    names = [path]
    if sys.platform != "win32":
        names.append(path.with_name("link.db"))
        names[-1].symlink_to(path)
    for name in names:
        with pytest.raises(StoreUnusable, match=f"already in use by process {holder.pid}"):
            async with SQLiteStore.open(name, exclusive=True):
                pass
    async with SQLiteStore.open(path, exclusive=False) as chat:
        await answer(chat, 1, "beside it", conversation="terminal:main")
    holder.kill()
    await holder.communicate()
    async with SQLiteStore.open(path, exclusive=True) as store:
        assert await store.count("terminal:main") == 1
        with pytest.raises(StoreUnusable, match=f"process {os.getpid()}"):
            async with SQLiteStore.open(path, exclusive=True):
                pass


async def test_several_may_open_a_new_database_at_once(path: Path) -> None:
    async def visit(number: int) -> None:
        async with SQLiteStore.open(path, exclusive=False) as store:
            await answer(store, number, "hello")

    await asyncio.gather(*map(visit, range(8)))
    async with SQLiteStore.open(path, exclusive=True) as store:
        assert await store.count(HERE) == 8


async def refusal(path: Path) -> str:
    """What an opening says that fails; it leaves no thread behind, which would keep the process alive."""
    threads = set(threading.enumerate())
    with pytest.raises(StoreUnusable) as caught:
        async with SQLiteStore.open(path, exclusive=False):
            pass
    for thread in set(threading.enumerate()) - threads:
        thread.join(1)
        assert not thread.is_alive()
    sentence = str(caught.value)
    assert str(path) in sentence
    assert sentence.count(". ") == 0
    assert sentence.endswith(".")
    return sentence


@pytest.mark.parametrize("foreign", ["a short text", "a long one", "a database"])
async def test_a_file_that_is_not_ours_is_left_alone(path: Path, foreign: str) -> None:
    if foreign == "a database":
        rows(path, "CREATE TABLE diary (entry)")
    else:
        write(path, b"Dear diary" * (1 if foreign == "a short text" else 10_000))
    before = files(path)
    assert "not a file of this bot's: set DATABASE_PATH" in await refusal(path)
    assert files(path) == before


async def test_a_newer_database_is_left_alone(path: Path) -> None:
    async with SQLiteStore.open(path, exclusive=True) as store:
        await answer(store, 1, "from tomorrow")
    rows(path, "PRAGMA user_version = 1000")
    before = files(path)
    assert "newer version of this bot" in await refusal(path)
    assert files(path) == before


async def test_a_damaged_database_says_so(path: Path) -> None:
    async with SQLiteStore.open(path, exclusive=True) as store:
        for position in range(50):
            await answer(store, position, "r" * 1000)
    whole = files(path)["chat.db"]
    write(path, whole[:8192] + b"\xa5" * (len(whole) - 8192))
    with pytest.raises(StoreUnusable, match="damaged"):
        async with SQLiteStore.open(path, exclusive=True) as store:
            await store.history(HERE, 99)


async def test_a_path_that_cannot_be_a_database(tmp_path: Path) -> None:
    assert "is a directory" in await refusal(tmp_path)
    (tmp_path / "file").touch()
    assert "a file where its folder should be" in await refusal(tmp_path / "file" / "chat.db")
    assert "a file where its folder should be" in await refusal(tmp_path / "file" / "folder" / "chat.db")
    async with SQLiteStore.open(tmp_path / "new" / "folder" / "chat.db", exclusive=True):
        assert (tmp_path / "new" / "folder" / "chat.db").exists()


@pytest.fixture
def unprivileged() -> Iterator[Path]:
    """A folder of somebody without root's rights, who the test then is."""
    with tempfile.TemporaryDirectory() as folder:
        root = os.geteuid() == 0
        if root:
            os.chown(folder, 65534, -1)
            os.seteuid(65534)
        yield Path(folder)
        os.chmod(folder, 0o700)
        if root:
            os.seteuid(0)


@posix_only
async def test_a_database_that_may_only_be_read(unprivileged: Path) -> None:
    path = unprivileged / "chat.db"
    async with SQLiteStore.open(path, exclusive=True) as store:
        await answer(store, 1, "before")
    for target, mode in (path, 0o400), (path, 0o000), (unprivileged, 0o500), (unprivileged, 0o000):
        os.chmod(target, mode)
        assert "cannot be written" in await refusal(path)
        os.chmod(target, 0o700)
    os.chmod(unprivileged, 0o500)
    assert "cannot be written" in await refusal(unprivileged / "new.db")
    assert "cannot be written" in await refusal(unprivileged / "new" / "chat.db")


async def test_a_full_disk_loses_nothing_and_is_got_over(store: SQLiteStore) -> None:
    attempt = await begin(store, 1)
    await store.start(attempt)
    await store.save({attempt: "before"})
    [[pages]] = await store._writer.execute_fetchall("PRAGMA page_count")
    await store._writer.execute(f"PRAGMA max_page_count = {pages}")
    for _ in range(2):
        with pytest.raises(StoreError, match=r"chat\.db found its disk full: free some space, then try again\."):
            await store.save({attempt: "x" * 100_000})
    with pytest.raises(StoreError):
        await begin(store, 2, "x" * 100_000)
    assert said(await store.history(HERE, 9)) == [(1, "before")]
    assert await store.close(attempt, Outcome(State.STOPPED, "short")), "what fits is still written"

    await store._writer.execute("PRAGMA max_page_count = 1000000")
    await answer(store, 2, "x" * 100_000)
    assert await store.count(HERE) == 2


@posix_only
async def test_a_failing_write_is_undone_and_said(store: SQLiteStore, path: Path) -> None:
    """A limit on the size of files is a real error of the operating system, on whatever SQLite writes next."""
    import resource

    attempt = await begin(store, 1)
    await store.start(attempt)
    await store.save({attempt: "before"})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.with_name("chat.db-wal").stat().st_size + 5000, hard))
    try:
        with pytest.raises(StoreError, match="see to its disk"):
            await store.save({attempt: "x" * 100_000})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert said(await store.history(HERE, 9)) == [(1, "before")]
    assert await store.save({attempt: "x" * 100_000}) == {attempt}


FIRST = (resources.files("bot") / "migrations" / "0001_conversations.sql").read_text()


@pytest.mark.parametrize("filled", [True, False], ids=["with rows", "without rows"])
async def test_the_first_schema_is_brought_up_to_date(path: Path, filled: bool) -> None:
    with closing(sqlite3.connect(path)) as first:
        first.executescript(FIRST)
        if filled:
            first.executescript(
                """
                INSERT INTO conversations (id, key) VALUES (1, 'discord:1');
                INSERT INTO turns (conversation_id, position, prompt, reply, state, created_at)
                VALUES (1, 1, 'Why?', 'Because.', 'complete', 1), (1, 2, 'And?', '', 'streaming', 2);
                INSERT INTO messages (turn_id, part, start, nonce, message_id) VALUES (1, 0, 0, 'n', 5);
                """
            )
        first.executescript("PRAGMA application_id = 0x5061726C; PRAGMA user_version = 1")
    async with SQLiteStore.open(path, exclusive=True) as store:
        assert said(await store.history(HERE, 9)) == ([(1, "Because.")] if filled else [])
        assert [turn.position for turn in await store.untold(HERE)] == ([1, 2] if filled else [])
        this = await begin(store, 3)
        assert said(await store.earlier(this.turn_id, None, 9)) == ([(1, "Because.")] if filled else [])
    assert rows(path, "PRAGMA user_version") == [(len(store_module._migrations()),)]
    assert rows(path, "PRAGMA foreign_key_check") == []


async def test_a_migration_that_fails_half_way_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with SQLiteStore.open(path, exclusive=True) as store:
        await answer(store, 1, "before")
    known = store_module._migrations()
    with monkeypatch.context() as patched:
        patched.setattr(store_module, "_migrations", lambda: [*known, "DROP TABLE messages;\nDROP TABLE nothing;\n"])
        await refusal(path)
    async with SQLiteStore.open(path, exclusive=True) as store:
        [turn] = await store.history(HERE, 9)
        assert await store.sent(turn.id) == []
