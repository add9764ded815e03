"""The file that a person gets of what is on record of them."""

from __future__ import annotations

import asyncio
import io
import json
import random
import zipfile
from collections.abc import AsyncIterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from bot.core.access import Block
from bot.core.records import ExportedTurn, Note, PersonSettings, Ping
from bot.core.turns import Behaviour, TurnState, UserName
from bot.core.usage import UsageRow
from bot.store.export import Export, export_of
from tests.places import on_discord

BO, GUILD = 777_000_111_222_333_444, 555_000_111_222_333_444
MEGABYTE = 2**20


async def pages(exchanges: Sequence[ExportedTurn], of: int = 50) -> AsyncIterator[Sequence[ExportedTurn]]:
    for start in range(0, len(exchanges), of):
        yield exchanges[start : start + of]


def exchange(number: int, reply: str = 'Because.\nOf "that" 🙂') -> ExportedTurn:
    return ExportedTurn(
        on_discord(11),
        GUILD,
        UserName("Bo", "bo"),
        1_700_000_000 + number,
        f"p{number}",
        reply,
        TurnState.COMPLETE,
        12,
        3,
    )


DEFAULTS = PersonSettings()
USAGE = UsageRow(19_675, "m", GUILD, BO, 2, 24, 6)


async def file_of(
    exchanges: Sequence[ExportedTurn],
    guild: int | None = None,
    limit: int = MEGABYTE,
    *,
    usage: Sequence[UsageRow] = (USAGE,),
    behaviour: Behaviour | None = None,
    blocks: Mapping[int, Block] = MappingProxyType({}),
    notes: Sequence[Note] = (),
    settings: PersonSettings = DEFAULTS,
) -> Export:
    return await export_of(
        pages(exchanges),
        usage,
        user_id=BO,
        guild_id=guild,
        behaviour=behaviour,
        blocks=blocks,
        notes=notes,
        settings=settings,
        now=1.7e9,
        limit=limit,
    )


def content(file: Export) -> Any:
    """What the file says; a zipped one holds a file of its name."""
    data = file.content
    if file.name.endswith(".zip"):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            assert archive.testzip() is None
            [name] = archive.namelist()
            assert name == file.name.replace(".zip", ".json")
            data = archive.read(name)
    return json.loads(data.decode())


async def test_export_is_readable_json() -> None:
    notes = [Note(1, GUILD, 1_700_000_000, "call me Kim"), Note(2, None, 1_700_000_001, "vegan")]
    file = await file_of([exchange(2), exchange(1)], GUILD, notes=notes)
    assert (file.name, file.exchanges, file.complete) == ("parley-2023-11-14.json", 2, True)
    text = file.content.decode()
    assert '\n  "exported_at": "2023-11-14T22:13:20Z",\n  "person": "777000111222333444",\n' in text
    assert '\n      "reply": "Because.\\nOf \\"that\\" 🙂",\n' in text
    told = content(file)
    assert told["scope"] == f"server {GUILD}"
    assert told["complete"] is True
    assert told["notes"] == [
        {"server": str(GUILD), "written_at": "2023-11-14T22:13:20Z", "text": "call me Kim"},
        {"server": None, "written_at": "2023-11-14T22:13:21Z", "text": "vegan"},
    ]
    assert told["usage"] == [
        {
            "day": "2023-11-14",
            "model": "m",
            "server": str(GUILD),
            "requests": 2,
            "prompt_tokens": 24,
            "reply_tokens": 6,
            "cached_tokens": 0,
            "reasoning_tokens": 0,
        }
    ]
    assert told["exchanges"][0] == {
        "conversation": "discord:11",
        "server": str(GUILD),
        "name": "Bo (@bo)",
        "asked_at": "2023-11-14T22:13:22Z",
        "prompt": "p2",
        "pictures": [],
        "reply": 'Because.\nOf "that" 🙂',
        "state": "complete",
        "prompt_tokens": 12,
        "reply_tokens": 3,
    }
    assert content(await file_of([]))["exchanges"] == []


async def test_export_holds_settings_and_blocks() -> None:
    own, blocks = Behaviour("You are a parrot.", "m"), {GUILD: Block(None), 7: Block(1_700_000_000)}
    chosen = PersonSettings(leave_out=True, ping=Ping.NEVER)
    told = content(await file_of([], behaviour=own, blocks=blocks, settings=chosen))
    assert told["settings"] == {"leave_out_recent_messages": True, "ping": "never"}
    assert told["direct_message"] == {"persona": "You are a parrot.", "model": "m"}
    assert told["blocks"] == [
        {"server": str(GUILD), "until": None},
        {"server": "7", "until": "2023-11-14T22:13:20Z"},
    ]
    assert "direct_message" not in content(await file_of([], GUILD)), "it belongs to no server"


async def test_only_an_empty_export_is_empty() -> None:
    assert (await file_of([], usage=[], behaviour=Behaviour())).empty
    assert not (await file_of([exchange(1)], usage=[])).empty
    assert not (await file_of([], usage=[], behaviour=Behaviour(model="m"))).empty
    assert not (await file_of([], usage=[], blocks={7: Block(None)})).empty
    assert not (await file_of([], usage=[], notes=[Note(1, None, 0, "vegan")])).empty
    assert not (await file_of([], usage=[], settings=PersonSettings(ping=Ping.NEVER))).empty
    assert not (await file_of([])).empty


async def test_large_export_is_zipped() -> None:
    file = await file_of([exchange(number, "because " * 100) for number in range(5000)])
    assert file.name.endswith(".zip")
    assert len(file.content) <= MEGABYTE
    assert (file.exchanges, file.complete) == (5000, True)
    told = content(file)
    assert [each["prompt"] for each in told["exchanges"]] == [f"p{number}" for number in range(5000)]


async def test_oversized_export_drops_the_oldest() -> None:
    draw = random.Random(3)
    noise = ["".join(chr(draw.randrange(0x4E00, 0x9FFF)) for _ in range(1000)) for _ in range(900)]
    file = await file_of([exchange(number, noise[number]) for number in range(900)])
    assert 0.6 * MEGABYTE < len(file.content) <= MEGABYTE
    assert not file.complete
    told = content(file)
    assert told["complete"] is False
    assert 300 < file.exchanges < 900
    assert [each["reply"] for each in told["exchanges"]] == noise[: file.exchanges]


async def test_export_does_not_block_other_work() -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.001)
            ticks += 1

    ticking = asyncio.create_task(tick())
    await file_of([exchange(number, "because of that " * 8000) for number in range(100)], limit=10 * MEGABYTE)
    ticking.cancel()
    assert ticks > 20, "not only between the two pages"
