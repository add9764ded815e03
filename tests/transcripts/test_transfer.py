"""Conversations into files and back: exact, at once or not at all, and remembered and forgotten like any other."""

from __future__ import annotations

import asyncio
import io
import json
import random
import signal
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.core.errors import StoreError, TranscriptError
from bot.core.records import Exchange, Transcript
from bot.core.turns import Attempt, Conversation, FailureReason, Outcome, Prompt, TurnState
from bot.store import Store
from bot.store.sqlite import open_store
from bot.transcripts.reading import transcript_of
from bot.transcripts.transfer import Exported, export_to, export_to_file, import_into
from bot.transcripts.writing import Format
from tests.places import TERMINAL, on_discord
from tests.store.steps import Clock, answer, child, database_of, disk_full, files, read_only, rows

CHANNEL, OTHER = on_discord(111_222_333_444_555_666), Conversation("terminal", "other")
GUILD, BO = 555, 777
DAY = 24 * 3600
SAID = Transcript("Be brief.", [Exchange("Why?", "Because."), Exchange("And then?", "Nothing.")])

KILLED = """
import asyncio, os, signal, sys
from bot.core.records import Exchange, Transcript
from bot.core.turns import Conversation
from bot.store.sqlite import open_store
from bot.transcripts.transfer import import_into

async def main(path, statement, times):
    left = int(times)

    def begins(sql):
        nonlocal left
        left -= sql.strip().startswith(statement)
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

    async with open_store(path, exclusive=True) as store:
        await store.engine._writer.set_trace_callback(begins)
        await import_into(store, Conversation("terminal", "main"), Transcript("p", [Exchange("a", "A" * 5000)] * 20))

asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "chat.db"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def store(path: Path, clock: Clock) -> AsyncIterator[Store]:
    async with open_store(path, exclusive=False, clock=clock) as opened:
        yield opened


async def ask(store: Store, conversation: Conversation, text: str = "Why?", position: int = 10**17) -> Attempt:
    """The attempt at a question of Bo's, in his server if the conversation is on Discord."""
    guild = GUILD if conversation.platform == "discord" else None
    attempt = await store.turns.begin(Prompt(conversation, position, text, BO, guild_id=guild))
    assert isinstance(attempt, Attempt)
    return attempt


async def known(store: Store) -> None:
    """The channel is on record, without any questions."""
    await ask(store, CHANNEL)
    await store.retention.forget_conversation(CHANNEL)


async def exported(store: Store, conversation: Conversation, format_: Format = Format.JSON) -> tuple[str, Exported]:
    stream = io.BytesIO()
    counts = await export_to(store, conversation, format_, stream)
    return stream.getvalue().decode(), counts


async def messages(store: Store, conversation: Conversation) -> list[tuple[str, str]]:
    text, _ = await exported(store, conversation)
    return [(message["role"], message["content"]) for message in json.loads(text)]


def pairs(transcript: Transcript) -> list[tuple[str, str]]:
    """The roles and texts of what a transcript has."""
    head = [] if transcript.persona is None else [("system", transcript.persona)]
    said = [pair for each in transcript.exchanges for pair in (("user", each.prompt), ("assistant", each.reply))]
    return [(role, text) for role, text in head + said if text]


async def refused(store: Store, conversation: Conversation, transcript: Transcript = SAID) -> str:
    """What is said of an import that changes nothing."""
    before = await store.engine.read("SELECT id, prompt FROM turns"), await store.engine.read("SELECT * FROM personas")
    with pytest.raises(TranscriptError) as error:
        await import_into(store, conversation, transcript)
    assert before == (
        await store.engine.read("SELECT id, prompt FROM turns"),
        await store.engine.read("SELECT * FROM personas"),
    )
    return str(error.value)


async def test_any_text_comes_back_as_it_was(store: Store) -> None:
    draw = random.Random(7)
    alphabet = [
        '"',
        "\\",
        "\0",
        "\n",
        "\r\n",
        "\t",
        "ß",
        "😀",
        "\u2028",
        "\ufeff",
        "⟦@1⟧",
        "```",
        "[Bo (@bo)]\n",
        "a b",
    ]
    persona, *texts = ["x" * 100_000, *("".join(draw.choices(alphabet, k=draw.randrange(1, 60))) for _ in range(240))]
    exchanges = [Exchange(prompt, reply) for prompt, reply in zip(texts[::2], texts[1::2], strict=True)]
    said = Transcript(persona, [*exchanges, Exchange("Unanswered?", "")])
    await import_into(store, TERMINAL, said)
    text, counts = await exported(store, TERMINAL)
    assert transcript_of(text.encode(), "f") == said
    assert counts == Exported(len(said.exchanges))
    await import_into(store, OTHER, transcript_of(text.encode(), "f"))
    assert (await exported(store, OTHER))[0] == text


@pytest.mark.parametrize("conversation", [TERMINAL, CHANNEL])
async def test_imported_turns_are_remembered_like_any_other(store: Store, conversation: Conversation) -> None:
    # Of an earlier talk only the end was sent. That is no matter of the new one.
    for position in range(10**17 - 9, 10**17):
        attempt = await ask(store, conversation, position=position)
        await store.turns.close(attempt, Outcome(TurnState.COMPLETE, "Earlier."))
    assert await store.windows.move(attempt.turn_id, 0, 8)
    await store.retention.forget_conversation(conversation)
    await import_into(store, conversation, SAID)
    overview = {each.conversation: each async for page in store.conversations.overview() for each in page}[conversation]
    assert (overview.turns, overview.people, overview.persona) == (2, 0, True)
    assert overview.guild_id == (GUILD if conversation is CHANNEL else None)
    running = await ask(store, conversation, "Go on.")
    earlier = (await store.windows.earlier(running.turn_id, None, 9)).turns
    assert [(each.prompt, each.reply, each.finished) for each in earlier] == [
        ("And then?", "Nothing.", True),
        ("Why?", "Because.", True),
    ]
    await store.turns.close(running, Outcome(TurnState.COMPLETE, "On."))
    assert await messages(store, conversation) == [*pairs(SAID), ("user", "Go on."), ("assistant", "On.")]
    left = await store.turns.undelivered(conversation.platform, conversation.channel)
    assert [turn.prompt for turn in left] == ["Go on."], "a start tries none of them again"


async def test_imported_turns_are_forgotten_like_any_other(store: Store, path: Path, clock: Clock) -> None:
    await known(store)
    secret = Transcript(None, [Exchange("SECRET-1", "SECRET-2" * 999), Exchange("SECRET-3", "")])
    for conversation in (TERMINAL, CHANNEL):
        await import_into(store, conversation, secret)
        await store.retention.forget_conversation(conversation)
        await store.engine.erase_deleted()
        assert not any(b"SECRET" in content for content in files(path).values())
    await import_into(store, CHANNEL, secret)
    await store.people.forget(BO)
    assert await store.turns.count(CHANNEL) == 2, "they are nobody's"
    clock.now += 91 * DAY
    assert await store.retention.prune(90) == 1
    await store.engine.erase_deleted()
    assert not any(b"SECRET" in content for content in files(path).values())


async def test_only_an_empty_conversation_takes_an_import(store: Store) -> None:
    await answer(store, 1, "r", TERMINAL)
    assert await refused(store, TERMINAL) == (
        "The conversation terminal:main has 1 question already. Use /reset first, or choose another name."
    )
    await store.retention.forget_conversation(TERMINAL)
    await import_into(store, TERMINAL, SAID)
    assert (await refused(store, TERMINAL)).startswith("The conversation terminal:main has 2 questions already.")
    unknown = await refused(store, CHANNEL)
    assert unknown.startswith(f"Nothing is stored for {CHANNEL} yet. Ask the bot a question there")
    assert not await store.conversations.exists(CHANNEL)
    attempt = await ask(store, CHANNEL)
    await store.turns.close(attempt, Outcome(TurnState.FAILED, failure=FailureReason.UNREACHABLE))
    assert "has 1 question already. Use /reset first." in await refused(store, CHANNEL), "a failed one can be retried"


async def test_persona_is_the_system_message(store: Store) -> None:
    bare = Transcript(None, SAID.exchanges)
    for transcript in (SAID, bare, Transcript("Other.", []), SAID):
        await import_into(store, TERMINAL, transcript)
        assert await messages(store, TERMINAL) == pairs(transcript) or not transcript.exchanges
        assert (await store.personas.settings_of(TERMINAL)).persona == transcript.persona
        await store.retention.forget_conversation(TERMINAL)

    await known(store)
    await store.personas.set_persona(CHANNEL, GUILD, "Chosen.")
    assert await refused(store, CHANNEL) == (
        f"The system message in the file is not the persona of {CHANNEL}. Set it there with /persona first, or"
        " remove it from the file."
    )
    await import_into(store, CHANNEL, bare)
    assert await messages(store, CHANNEL) == [("system", "Chosen."), *pairs(bare)], "it is kept"
    await store.retention.forget_conversation(CHANNEL)
    await import_into(store, CHANNEL, Transcript("Chosen.", SAID.exchanges))
    await store.retention.forget_conversation(CHANNEL)
    await store.personas.set_persona(CHANNEL, GUILD, None)
    assert await refused(store, CHANNEL, Transcript("x" * 4001, SAID.exchanges)) == (
        "The system message is 4,001 characters long. On Discord it can have 4,000 at most. Shorten it in the file."
    )
    await import_into(store, CHANNEL, Transcript("x" * 4000, SAID.exchanges))
    assert rows_of(await store.engine.read("SELECT guild_id, length(persona) FROM personas WHERE guild_id")) == [
        (GUILD, 4000)
    ]


async def test_persona_of_a_dm_is_its_users(store: Store) -> None:
    direct = on_discord(12)
    await store.turns.begin(Prompt(direct, 10**17, "Why?", BO))
    await store.retention.forget_conversation(direct)
    assert "is not the persona of" in await refused(store, direct)
    await store.personas.set_persona(direct, None, "Be brief.", user_id=BO)
    await import_into(store, direct, SAID)
    await store.people.forget(BO)
    assert await messages(store, direct) == pairs(Transcript(None, SAID.exchanges))


def rows_of(found: object) -> list[tuple[object, ...]]:
    return [tuple(row) for row in found]  # type: ignore[attr-defined]


async def test_of_several_imports_at_once_one_counts(store: Store, path: Path) -> None:
    async with open_store(path, exclusive=False) as second:
        imports = [
            import_into(each, TERMINAL, Transcript(f"{number}", [Exchange(f"{number}", "r")] * 50))
            for number, each in enumerate((store, second, store, second))
        ]
        found = await asyncio.gather(*imports, return_exceptions=True)
    [winner] = [number for number, error in enumerate(found) if error is None]
    assert all(isinstance(error, TranscriptError) for number, error in enumerate(found) if number != winner)
    assert {text for role, text in await messages(store, TERMINAL) if role != "assistant"} == {f"{winner}"}
    assert await store.turns.count(TERMINAL) == 50


async def test_failed_import_leaves_nothing(store: Store, path: Path) -> None:
    large = Transcript("Be brief.", [Exchange("x" * 5000, "y" * 5000)] * 500)
    for fault in (read_only(store), disk_full(database_of(store), 50)):
        async with fault:
            with pytest.raises(StoreError):
                await import_into(store, TERMINAL, large)
        for table in ("conversations", "stored_turns", "personas"):
            assert rows(path, f"SELECT * FROM {table}") == []  # noqa: S608
    await import_into(store, TERMINAL, large)
    assert await store.turns.count(TERMINAL) == 500


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
@pytest.mark.parametrize(
    ("statement", "times"), [("INSERT INTO stored_turns", 1), ("INSERT INTO stored_turns", 10), ("COMMIT", 1)]
)
async def test_killed_import_leaves_nothing(path: Path, statement: str, times: int) -> None:
    """Before its turns, between two of them (where SQLite tells of triggers), and before the end."""
    process = await child(KILLED, path, statement, times)
    assert await process.wait() == -signal.SIGKILL
    async with open_store(path, exclusive=True) as store:
        for table in ("conversations", "stored_turns", "personas"):
            assert not await store.engine.read(f"SELECT * FROM {table}")  # noqa: S608
        await import_into(store, TERMINAL, SAID)
        assert await messages(store, TERMINAL) == pairs(SAID)


async def test_export_has_what_is_remembered_and_says_what_is_not_whole(store: Store) -> None:
    ends = [
        Outcome(TurnState.FAILED, failure=FailureReason.UNREACHABLE),
        Outcome(TurnState.STOPPED, "Half a"),
        Outcome(TurnState.COMPLETE, "Up to the", FailureReason.LENGTH),
        Outcome(TurnState.COMPLETE, "Whole."),
    ]
    for position, end in enumerate(ends, 10**17):
        await store.turns.close(await ask(store, CHANNEL, f"{position % 10}", position), end)
    gone = await ask(store, CHANNEL, "SECRET", 10**17 + 5)
    await store.turns.close(gone, Outcome(TurnState.COMPLETE, "SECRET"))
    await store.retention.forget_turn(gone.turn_id)
    running = await ask(store, CHANNEL, "running", 10**17 + 6)
    answered = [("user", "1"), ("assistant", "Half a"), ("user", "2"), ("assistant", "Up to the")]
    answered += [("user", "3"), ("assistant", "Whole."), ("user", "running")]
    assert await messages(store, CHANNEL) == answered
    assert (await exported(store, CHANNEL))[1] == Exported(4, left_out=1, unfinished=2)
    await store.turns.save({running: "So"})
    assert await messages(store, CHANNEL) == [*answered, ("assistant", "So")]
    markdown, counts = await exported(store, CHANNEL, Format.MARKDOWN)
    assert counts == Exported(5, unfinished=3)
    assert markdown.count("*No answer.*") == 1
    await store.people.forget(BO)
    with pytest.raises(TranscriptError, match=r"is empty\. There is nothing to export\."):
        await exported(store, CHANNEL)


async def test_a_page_costs_the_same_wherever_it_is(store: Store) -> None:
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 1

    await import_into(store, TERMINAL, Transcript(None, [Exchange("a", "A")] * 2000))
    pages = aiter(store.conversations.exchanges(TERMINAL))
    await database_of(store)._reader.set_progress_handler(count, 1)
    await anext(pages)
    _, steps = await anext(pages), 0
    await anext(pages)
    third, steps = steps, 0
    rest = [page async for page in pages]
    assert (len(rest), {len(page) for page in rest}) == (37, {50})
    assert steps <= third * 38 * 1.05


async def test_thread_has_the_persona_of_its_channel(store: Store) -> None:
    await store.personas.set_persona(CHANNEL, GUILD, "Be brief.")
    thread = on_discord(5)
    attempt = await store.turns.begin(Prompt(thread, 10**17, "Why?", guild_id=GUILD, parent=CHANNEL))
    assert isinstance(attempt, Attempt)
    assert await messages(store, thread) == [("system", "Be brief."), ("user", "Why?")]


async def test_reset_ends_an_export(store: Store) -> None:
    """What is asked afterwards is not part of it, and what is forgotten is not either."""
    await import_into(store, TERMINAL, Transcript(None, [Exchange("a", "A")] * 120))
    pages = aiter(store.conversations.exchanges(TERMINAL))
    assert len(await anext(pages)) == 50
    await store.retention.forget_conversation(TERMINAL)
    await ask(store, TERMINAL, position=10**18)
    assert [page async for page in pages] == []


async def test_file_is_new_private_and_whole(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await import_into(store, TERMINAL, SAID)
    file = tmp_path / "messages.json"
    await export_to_file(store, TERMINAL, Format.JSON, file)
    assert transcript_of(file.read_bytes(), "f") == SAID
    if sys.platform != "win32":
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    before = file.read_bytes()
    nowhere = {
        file: "exists already. Choose another name, or move it away.",
        tmp_path: "exists already. Choose another name, or move it away.",
        tmp_path / "none/messages.json": "cannot be written (No such file or directory). Choose another place.",
        tmp_path / "a\0b": "cannot be written (embedded null byte). Choose another place.",
    }
    for place, sentence in nowhere.items():
        with pytest.raises(TranscriptError) as error:
            await export_to_file(store, TERMINAL, Format.JSON, place)
        assert str(error.value) == f"{place} {sentence}"
    assert file.read_bytes() == before
    with pytest.raises(TranscriptError):
        await export_to_file(store, OTHER, Format.JSON, tmp_path / "empty.json")

    def failing(*_: object) -> None:
        raise StoreError("The disk is gone.")

    monkeypatch.setattr("bot.store.conversations.named_prompts", failing)
    with pytest.raises(StoreError):
        await export_to_file(store, TERMINAL, Format.JSON, tmp_path / "half.json")
    assert {each.suffix for each in tmp_path.iterdir()} <= {".json", ".db", ".db-wal", ".db-shm", ".lock"}
    assert [each.name for each in tmp_path.glob("*.json")] == ["messages.json"]
