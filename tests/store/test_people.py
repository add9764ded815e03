"""What is on record of a person: told in full, and gone without a trace when it is forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.core.errors import StoreError
from bot.core.prompt_text import mention
from bot.core.quotas import QuotaExceeded, Quotas, Usage
from bot.core.records import ExportedTurn, UserRecord
from bot.core.turns import Attempt, Conversation, Outcome, Prompt, Quote, TurnState, UserName
from bot.core.usage import UsageToday
from bot.store import Store
from bot.store.engine import Value
from bot.store.sqlite import open_store
from bot.store.sqlite.engine import SQLiteEngine
from tests.places import on_discord
from tests.store.steps import answer, files, rows

BO, CLEO, DEE = 777_000_111_222_333_444, 888_000_111_222_333_444, 999_000_111_222_333_444
HERE, ELSEWHERE, DM = on_discord(11), on_discord(12), on_discord(13)
GUILD = 5


@pytest.fixture
def positions() -> Iterator[int]:
    return iter(range(100, 10_000))


async def ask(
    store: Store,
    position: int,
    person: int,
    text: str,
    reply: str = "",
    *,
    where: Conversation = HERE,
    guild: int | None = GUILD,
    quote: Quote | None = None,
    message: int | None = None,
) -> Attempt:
    """A person's prompt, charged with 10 tokens and answered with `reply`, if there is one, in that message."""
    name = (
        None
        if guild is None
        else {BO: UserName("Bo", "bo_1"), CLEO: UserName("Cleo", "cleo")}.get(person, UserName(f"P{person}", "p"))
    )
    begun = await store.turns.begin(
        Prompt(where, position, text, person, name, guild, quote=quote, message_id=position)
    )
    assert isinstance(begun, Attempt)
    await store.quotas.reserve(begun, "m", 5, 5, 1, Quotas())
    if message is not None:
        await store.deliveries.posting(begun, 0, 0, "nonce")
        await store.deliveries.posted(begun, 0, message)
    if reply:
        assert await store.turns.close(begun, Outcome(TurnState.COMPLETE, reply, usage=Usage(6, 4)))
    return begun


def forms(person: int) -> dict[str, bytes]:
    """How an id may be written into a database: as text, in records, and as the key of a table."""
    # https://www.sqlite.org/fileformat2.html#varint
    varint = bytes([*(person >> shift & 0x7F | 0x80 for shift in range(57, 7, -7)), person & 0xFF])
    return {
        "text": str(person).encode(),
        "record": person.to_bytes(8, "big"),
        "record of less": person.to_bytes(8, "big")[1:],
        "varint": varint,
        "little": person.to_bytes(8, "little"),
    }


def found(path: Path, wanted: dict[str, bytes]) -> set[str]:
    return {what for what, needle in wanted.items() for content in files(path).values() if needle in content}


async def test_person_is_forgotten_to_the_last_byte(path: Path) -> None:
    texts = ("SECRET-PROMPT", "SECRET-REPLY", "SECRET-DM", "SECRET-PERSONA", "bo_1", "SECRET-RUNNING")
    wanted = {text: text.encode() for text in texts} | forms(BO)
    async with open_store(path, exclusive=True) as store:
        for position in range(100, 160):
            person = (BO, CLEO)[position % 2]
            secret = "SECRET-" if person == BO else ""
            await ask(store, position, person, f"{secret}PROMPT " * 30, f"{secret}REPLY " * 90, message=position + 5000)
        await ask(store, 200, BO, "SECRET-PROMPT elsewhere", "SECRET-REPLY", where=ELSEWHERE, message=5200)
        await ask(store, 201, BO, "SECRET-DM", "SECRET-REPLY", where=DM, guild=None)
        await store.personas.set_persona(DM, None, "SECRET-PERSONA", user_id=BO)
        await store.personas.set_persona(
            on_discord(77), None, "SECRET-PERSONA of a DM in which nothing was asked", user_id=BO
        )
        await store.processed.claim_notice("blocked", 2**40, BO)
        await store.guild_rules.block(GUILD, BO, 1)
        theirs, answer = "⟦In reply to Bo (@bo_1):⟧\n> SECRET-PROMPT", "⟦In reply to you:⟧\n> SECRET-REPLY"
        await ask(store, 300, CLEO, f"{theirs}\n\nIs that so?", "Yes.", quote=Quote(BO, len(theirs)))
        # A quote of the bot's answer to Bo names the message.
        await ask(store, 301, CLEO, f"{answer}\n\nReally?", "Yes.", quote=Quote(5200, len(answer), own=True))
        running = await ask(store, 302, BO, "SECRET-PROMPT too", where=ELSEWHERE)
        await store.turns.save({running: "SECRET-RUNNING"})
        assert found(path, wanted) >= {*texts, "record"}

        forgotten = await store.people.forget(BO)
        await store.engine.erase_deleted()

        assert len(forgotten) == 33
        assert running.turn_id in forgotten
        assert found(path, wanted) == set(), "also while the database is open, its log included"
        assert await store.turns.save({running: "SECRET-RUNNING goes on"}) == set()
        assert not await store.turns.close(running, Outcome(TurnState.COMPLETE, "SECRET-REPLY", usage=Usage(6, 4)))
    assert found(path, wanted) == set()


async def test_forgetting_keeps_others_turns_and_the_usage(store: Store, path: Path) -> None:
    await ask(store, 100, BO, "mine", "yours", message=5100)
    await ask(store, 101, CLEO, "⟦In reply to Bo:⟧\n> mine\n\nIs that so?", "Yes.", quote=Quote(BO, 24))
    await ask(store, 102, CLEO, "⟦In reply to Dee:⟧\n> hers\n\nAnd that?", "No.", quote=Quote(DEE, 25))
    await ask(store, 103, BO, "in a DM", "Hm.", where=DM, guild=None)
    before = await store.quotas.usage_today(BO, GUILD)
    assert before == UsageToday(user=20, guild=30, total=40, questions=2)

    await store.people.forget(BO)

    assert [(turn.prompt, turn.reply) for turn in await store.turns.history(HERE, 9)] == [
        ("⟦In reply to Dee:⟧\n> hers\n\nAnd that?", "No."),
        ("⟦They are replying to a message that was forgotten.⟧\n\nIs that so?", "Yes."),
    ]
    assert await store.quotas.usage_today(BO, GUILD) == before, "of theirs no file knows"
    assert rows(path, f"SELECT * FROM daily_usage WHERE id = {BO}") == []
    assert await store.quotas.usage_today(CLEO) == UsageToday(user=20, total=40, questions=2)
    assert [(row.guild_id, row.user_id, row.requests) for row in await store.usage.by_day(0)] == [
        (None, None, 1),
        (GUILD, None, 1),
        (GUILD, CLEO, 2),
    ]
    await store.engine.erase_deleted()
    assert rows(path, "SELECT channel FROM conversations") == [(HERE.channel,)], "a DM is its person's"


async def test_quote_of_a_forgotten_reply_is_not_kept(store: Store, path: Path) -> None:
    """Of a reply that is forgotten, or of one of the bot's messages that never was one."""
    neutral = "⟦They are replying to a message that was forgotten.⟧"
    await ask(store, 100, BO, "mine", "yours", message=5100)
    await ask(store, 101, BO, "mine elsewhere", "SECRET", where=ELSEWHERE, message=5101)
    quote = "⟦In reply to you:⟧\n> SECRET"
    of = {message: Quote(message, len(quote), own=True) for message in (5100, 5101, 5999)}
    await ask(store, 200, CLEO, f"{quote}\n\nHm?", "", quote=of[5101])
    await store.retention.forget_conversation(ELSEWHERE)
    await ask(store, 201, CLEO, f"{quote}\n\nHm?", "Hm.", quote=of[5101])
    await ask(store, 202, CLEO, f"{quote}\n\nEh?", "Eh.", quote=of[5999])
    await ask(store, 203, CLEO, f"{quote}\n\nOh?", "Oh.", quote=of[5100])
    prompts = [f"{quote}\n\nOh?", f"{neutral}\n\nEh?", f"{neutral}\n\nHm?"]
    assert [turn.prompt for turn in await store.turns.history(HERE, 3)] == prompts
    assert rows(path, "SELECT quoted_id, quote_length FROM stored_turns WHERE position > 200 ORDER BY position") == [
        (None, 0),
        (None, 0),
        (BO, len(quote)),
    ]
    assert await store.turns.correct(202, f"{quote}\n\nEdited", of[5999])
    assert await store.turns.correct(203, f"{quote}\n\nEdited", of[5100])
    prompts = [f"{quote}\n\nEdited", f"{neutral}\n\nEdited", f"{neutral}\n\nHm?"]
    assert [turn.prompt for turn in await store.turns.history(HERE, 3)] == prompts


async def test_forgetting_is_all_or_nothing(store: Store, database: SQLiteEngine, path: Path) -> None:
    await ask(store, 100, BO, "mine", "yours")
    before = await store.quotas.usage_today(BO, GUILD)
    assert before == UsageToday(user=10, guild=10, total=10, questions=1)
    await database.write(
        "CREATE TRIGGER refusing BEFORE DELETE ON recent_questions BEGIN SELECT raise(FAIL, 'no'); END"
    )
    for _ in range(3):
        with pytest.raises(StoreError, match="no"):
            await store.people.forget(BO)
        assert await store.quotas.usage_today(BO, GUILD) == before, "nor is anything counted twice"
    assert rows(path, "SELECT * FROM forgotten_users") == []
    await database.write("DROP TRIGGER refusing")
    for _ in range(3):
        await store.people.forget(BO)
        assert await store.quotas.usage_today(BO, GUILD) == before
    assert (await store.people.record_of(BO)).is_empty


async def test_announced_extent_is_what_goes(store: Store) -> None:
    assert await store.people.record_of(BO) == UserRecord(0, 0, traces=False, blocked=False)
    await store.guild_rules.block(GUILD, BO, None)
    assert await store.people.record_of(BO) == UserRecord(0, 0, traces=False, blocked=True), (
        "a block is not theirs to lift"
    )
    await store.guild_rules.block(GUILD, CLEO, 1001)
    assert (await store.people.record_of(CLEO)).blocked
    await store.guild_rules.block(GUILD, CLEO, 1000)
    assert not (await store.people.record_of(CLEO)).blocked, "that is over"
    await ask(store, 100, BO, "mine", "yours")
    await ask(store, 101, BO, "mine, not answered yet", where=ELSEWHERE)
    await ask(store, 102, CLEO, "other", "yours")
    assert await store.people.record_of(BO) == UserRecord(2, 2, traces=True, blocked=True)
    await store.retention.forget_conversation(HERE)
    await store.retention.forget_conversation(ELSEWHERE)
    assert await store.people.record_of(BO) == UserRecord(0, 0, traces=True, blocked=True), (
        "what was used is on record still"
    )
    assert not (await store.people.record_of(BO)).is_empty
    await store.people.forget(BO)
    assert await store.people.record_of(BO) == UserRecord(0, 0, traces=False, blocked=True)


NO_PERSON = "channel_id", "conversation_id", "guild_id", "message_id", "origin_turn_id", "target_id", "turn_id"
"""What columns of ids are called in which no person's stand."""
FILLED: dict[tuple[str, str], Value] = {
    ("daily_usage", "scope"): "user",
    # A block in force is the moderators' and stays; one that is over goes.
    ("blocks", "until"): 1,
}
"""What makes a row one of a person's, beside the id."""
KEPT = {("mentions", "user_id")}
"""Ids that stay, as they do in the prompts of others that these rows are of."""


async def test_person_is_forgotten_in_every_column(store: Store, database: SQLiteEngine, path: Path) -> None:
    await answer(store, 9, "Because.", HERE)
    for [trigger] in rows(path, "SELECT name FROM sqlite_schema WHERE type = 'trigger'"):
        await database.write(f"DROP TRIGGER {trigger}")  # so that each row is found by itself
    columns = rows(
        path,
        """
        SELECT tables.name, columns.name, columns.type, "notnull" AND dflt_value IS NULL
        FROM sqlite_schema AS tables, pragma_table_info(tables.name) AS columns
        WHERE tables.type = 'table'
          AND tables.name NOT IN ('forgotten_users', 'forgotten_by_commands') -- which are empty in the end
        """,
    )
    people = [("daily_usage", "id")]
    people += [(table, name) for table, name, *_ in columns if name.endswith("_id") and name not in NO_PERSON]
    people = [each for each in people if each not in KEPT]
    assert {("stored_turns", "user_id"), ("stored_turns", "quoted_id"), ("charges", "user_id")} < {*people}

    for person, (table, theirs) in enumerate(people, BO):
        row: dict[str, Value] = {
            name: FILLED.get((table, name), 1 if kind == "INTEGER" else "text")
            for of, name, kind, needed in columns
            if of == table and (needed or (table, name) in FILLED)
        }
        row[theirs] = person
        values = ", ".join(f":{name}" for name in row)
        await database.write(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({values})", **row)
        assert not (await store.people.record_of(person)).is_empty, f"{table}.{theirs} is not found"
        await store.people.forget(person)
        assert (await store.people.record_of(person)).is_empty
        await store.engine.erase_deleted()
        for where, name in people:
            left = rows(path, f"SELECT * FROM {where} WHERE {name} = {person}")
            assert left == [], f"{where}.{name} is kept"


async def exported(store: Store, person: int, guild: int | None = None) -> list[ExportedTurn]:
    return [exchange async for page in store.people.exchanges_of(person, guild) for exchange in page]


async def test_own_turns_are_listed_newest_first(store: Store) -> None:
    for position in range(100, 220):
        await ask(store, position, (BO, CLEO)[position % 2], f"p{position}", "r", guild=GUILD)
    await ask(store, 300, BO, "in another server", "r", where=ELSEWHERE, guild=6)
    await ask(store, 301, BO, "in a DM", where=DM, guild=None)
    every = await exported(store, BO)
    assert every[0] == ExportedTurn(DM, None, None, 1000, "in a DM", "", TurnState.PENDING, None, None)
    assert every[1] == ExportedTurn(
        ELSEWHERE, 6, UserName("Bo", "bo_1"), 1000, "in another server", "r", TurnState.COMPLETE, 6, 4
    )
    assert [exchange.prompt for exchange in every[2:]] == [f"p{position}" for position in range(218, 99, -2)]
    assert [exchange.prompt for exchange in await exported(store, BO, 6)] == ["in another server"]
    assert len(await exported(store, BO, GUILD)) == 60
    assert await exported(store, DEE) == []


async def test_conversation_is_summarized(store: Store) -> None:
    assert await store.conversations.summary(HERE) is None
    for position in range(100, 130):
        await ask(store, position, (BO, BO, CLEO)[position % 3], "ä" * 20, "r" * 60)
    for person in range(11):
        await ask(store, 200 + person, person + 1, "ä" * 20, "r" * 60)
    await ask(store, 300, BO, "elsewhere", "r", where=ELSEWHERE)
    summary = await store.conversations.summary(HERE)
    assert summary is not None
    assert (summary.turns, summary.since, summary.size) == (41, 1000, 4100)
    assert summary.people[:2] == [(UserName("Bo", "bo_1"), 20), (UserName("Cleo", "cleo"), 10)]
    assert (len(summary.people), summary.people_in_all) == (10, 13)
    in_dm = await ask(store, 301, BO, "hello", where=DM, guild=None)
    await store.turns.close(in_dm, Outcome(TurnState.COMPLETE, "r", usage=Usage(6, 4, cached_tokens=5)))
    assert await store.conversations.lately_sent(DM) == Usage(6, 4, cached_tokens=5)
    assert await store.conversations.lately_sent(HERE) == Usage(20 * 6, 20 * 4), "of the latest twenty turns"
    private = await store.conversations.summary(DM)
    assert private is not None
    assert private.people == [(None, 1)]


async def test_conversations_are_listed_by_latest_use(database: SQLiteEngine) -> None:
    now = 1000.0
    store = Store(database, clock=lambda: now)
    assert [page async for page in store.conversations.overview()] == []
    for number in range(450):
        now = 1000.0 + number // 3
        await store.turns.begin(Prompt(on_discord(number), 1000 + number, "Why?", BO, guild_id=GUILD))
    now = 5000.0
    await ask(store, 9000, CLEO, "Whyä", "B" * 95, where=on_discord(7))
    await store.personas.set_persona(on_discord(7), GUILD, "A pirate.")
    await store.retention.forget_conversation(on_discord(8))
    listed = [each async for page in store.conversations.overview() for each in page]
    assert [each.conversation for each in listed] == [
        on_discord(7),
        *(on_discord(n) for n in range(449, -1, -1) if n != 7),
    ]
    first = listed[0]
    assert (first.guild_id, first.turns, first.people, first.size) == (GUILD, 2, 2, 104)
    assert (first.first_at, first.used_at, first.persona, first.model) == (1002, 5000, True, None)
    emptied = next(each for each in listed if each.conversation == on_discord(8))
    assert (emptied.turns, emptied.people, emptied.size, emptied.first_at) == (0, 0, 0, None)


async def test_long_conversation_is_summarized_in_few_steps(database: SQLiteEngine, store: Store) -> None:
    await ask(store, 100, BO, "Why?", "Because.")
    await database.write(
        """
        WITH RECURSIVE numbers (n) AS (SELECT 1000 UNION ALL SELECT n + 1 FROM numbers WHERE n < 100999)
        INSERT INTO stored_turns
            (conversation_id, position, user_id, display_name, user_name, prompt, reply, state, created_at)
        SELECT 1, n, n % 50, 'P', 'p', 'Why?', 'Because.', 'complete', n FROM numbers
        """
    )
    thousands = 0

    def count() -> None:
        nonlocal thousands
        thousands += 1

    await database._reader.set_progress_handler(count, 1000)
    summary = await store.conversations.summary(HERE)
    assert thousands < 2500, "a reply that is asked for meanwhile waits as long: 25 steps of SQLite for each turn"
    assert summary is not None
    assert (summary.turns, summary.people_in_all) == (100_001, 51)


async def test_mentioned_names_go_with_person_and_conversation(store: Store, path: Path) -> None:
    for position, place in enumerate((HERE, ELSEWHERE), 1):
        text = f"Is {mention(BO)} like {mention(DEE)}?"
        prompt = Prompt(place, position, text, CLEO, message_id=position, names={BO: "Bo-SECRET", DEE: "Dee-SECRET"})
        begun = await store.turns.begin(prompt)
        assert isinstance(begun, Attempt)
        await store.turns.close(begun, Outcome(TurnState.COMPLETE, "No."))
    later = Prompt(ELSEWHERE, 3, f"And {mention(DEE)}?", CLEO, message_id=3, names={DEE: "Delia-SECRET"})
    assert await store.turns.begin(later)

    async def prompts(place: Conversation) -> list[str]:
        return [turn.prompt for turn in await store.turns.history(place, 9)]

    assert await prompts(HERE) == ["Is @Bo-SECRET like @Dee-SECRET?"]
    assert await prompts(ELSEWHERE) == ["Is @Bo-SECRET like @Delia-SECRET?"], "the latest name in that conversation"
    assert not (await store.people.record_of(BO)).is_empty
    await store.people.forget(BO)
    assert await prompts(HERE) == ["Is @someone like @Dee-SECRET?"]
    [exported] = [page async for page in store.people.exchanges_of(CLEO)]
    assert [each.prompt for each in exported][-1] == "Is @someone like @Dee-SECRET?"
    await store.retention.forget_conversation(HERE)
    assert await prompts(ELSEWHERE) == ["Is @someone like @Delia-SECRET?"]
    await store.retention.forget_conversation(ELSEWHERE)
    await store.engine.erase_deleted()
    assert b"SECRET" not in b"".join(files(path).values())


async def mentioning(store: Store, position: int, *people: int, limit: int | None = None) -> object:
    """A question of Cleo's that mentions these people, whose names are SECRET and their ids."""
    text = " ".join(map(mention, people))
    names = {person: f"SECRET-{person}" for person in people}
    return await store.turns.begin(Prompt(HERE, position, text, CLEO, message_id=position, names=names), limit)


@pytest.mark.parametrize("act", ["deleted", "edited", "its asker forgotten", "their own forgotten"])
async def test_name_goes_with_the_last_prompt_that_holds_it(store: Store, path: Path, act: str) -> None:
    await mentioning(store, 1, BO, DEE)
    await mentioning(store, 2, DEE)
    if act in ("deleted", "edited"):
        for position in (1, 2):
            assert rows(path, "SELECT name FROM names ORDER BY name")[-1] == (f"SECRET-{DEE}",)
            if act == "deleted":
                await store.retention.forget_prompts([position])
            else:
                await store.turns.correct(position, "nobody")
            assert (f"SECRET-{BO}",) not in rows(path, "SELECT name FROM names")
    elif act == "its asker forgotten":
        await store.people.forget(CLEO)
    else:
        await store.retention.forget_own(HERE, CLEO)
    await store.engine.erase_deleted()
    assert rows(path, "SELECT * FROM mentions") == []
    assert b"SECRET" not in b"".join(files(path).values())


async def test_refused_question_leaves_no_names(store: Store, path: Path) -> None:
    assert isinstance(await mentioning(store, 1, BO, limit=1), Attempt)
    assert isinstance(await mentioning(store, 2, BO, DEE, limit=1), QuotaExceeded)
    assert await mentioning(store, 1, BO, limit=1) is None, "it is answered already"
    assert rows(path, "SELECT user_id, name FROM names") == [(BO, f"SECRET-{BO}")]


async def test_what_only_looks_like_a_mention_stays_as_it_was_typed(store: Store) -> None:
    terminal = Conversation("terminal", "t")
    begun = await store.turns.begin(Prompt(terminal, 1, f"What is ⟦@5⟧, {mention(BO)}?"))
    assert isinstance(begun, Attempt)
    turn = await store.turns.of_attempt(begun)
    assert turn is not None
    assert turn.prompt == f"What is ⟦@5⟧, {mention(BO)}?"
