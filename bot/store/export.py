"""The export of a person's questions, replies, notes, usage and settings, as a file for people and programs."""

from __future__ import annotations

import asyncio
import io
import json
import zipfile
from collections.abc import AsyncIterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bot.core.access import Block
from bot.core.records import ExportedTurn, Note, PersonSettings
from bot.core.summaries import Summary
from bot.core.turns import Behaviour
from bot.core.usage import DAY, UsageRow

_HELD_BACK = 128 * 1024
"""An upper bound on the bytes that zlib holds before it returns any."""


@dataclass(frozen=True, slots=True)
class Export:
    """An exported file. `complete` means that it holds all exchanges, and `empty` that it holds nothing."""

    name: str
    content: bytes
    exchanges: int
    complete: bool
    empty: bool


async def export_of(
    pages: AsyncIterable[Sequence[ExportedTurn]],
    usage: Sequence[UsageRow],
    *,
    user_id: int,
    guild_id: int | None,
    behaviour: Behaviour | None,
    blocks: Mapping[int, Block],
    notes: Sequence[Note],
    settings: PersonSettings,
    summaries: Sequence[Summary] = (),
    now: float,
    limit: int,
) -> Export:
    """Return an export file of at most `limit` bytes (at least a megabyte), made from turns that come newest first.

    `behaviour` is that of the person's DM, or None if it is not exported. `summaries` are those of conversations that
    only the person sees. `blocks` are by server. The file is JSON. A file that would be too large is zipped, and one
    that is still too large leaves out the oldest turns. Ids are text, since many programs round numbers of their size.
    Work on large data runs in a thread.
    """
    head: dict[str, Any] = {
        "exported_at": _iso(now),
        "person": str(user_id),
        "scope": "all servers and direct messages" if guild_id is None else f"server {guild_id}",
        "blocks": [_block(server, block) for server, block in blocks.items()],
        "notes": [_note(note) for note in notes],
        "settings": {"leave_out_recent_messages": settings.leave_out, "ping": settings.ping.value},
        "usage": [_day(row) for row in usage],
    }
    if behaviour is not None:
        head["direct_message"] = {"persona": behaviour.persona, "model": behaviour.model}
    if behaviour is not None or summaries:
        head["summaries"] = [_summary(each) for each in summaries]
    chosen = behaviour not in (None, Behaviour()) or settings != PersonSettings()
    empty = not usage and not blocks and not notes and not chosen
    file = _File(_time(now), json.dumps(head, ensure_ascii=False, indent=2).removesuffix("\n}"), limit)
    async for page in pages:
        if not await asyncio.to_thread(file.add, page):
            break
    return await asyncio.to_thread(file.finish, empty=empty)


class _File:
    """The file that is being written, both as plain text while that fits and as a zip archive."""

    def __init__(self, at: datetime, head: str, limit: int) -> None:
        self._limit = limit
        self._plain: io.BytesIO | None = io.BytesIO()
        self._zipped = io.BytesIO()
        self._archive = zipfile.ZipFile(self._zipped, "w")
        self._name = f"parley-{at:%Y-%m-%d}"
        entry = zipfile.ZipInfo(f"{self._name}.json", at.timetuple()[:6])
        entry.compress_type = zipfile.ZIP_DEFLATED
        # Without force_zip64, zipfile refuses a member that grows over 2 GiB.
        self._member = self._archive.open(entry, "w", force_zip64=True)
        self._exchanges = 0
        self._complete = True
        self._write(f'{head},\n  "exchanges": [')

    def add(self, page: Sequence[ExportedTurn]) -> bool:
        """Write a page of turns. Returns False once the file is full."""
        for exchange in page:
            text = json.dumps(_exchange(exchange), ensure_ascii=False, indent=2).replace("\n", "\n    ")
            piece = f"{',' if self._exchanges else ''}\n    {text}"
            plain_is_full = self._plain is None or self._plain.tell() + _bytes(piece) + 1024 > self._limit
            if plain_is_full and self._zipped.tell() + _bytes(piece) + _HELD_BACK > self._limit:
                self._complete = False
                return False
            self._write(piece)
            if plain_is_full:
                self._plain = None
            self._exchanges += 1
        return True

    def finish(self, *, empty: bool) -> Export:
        """Return the finished file. `empty` means that a file without exchanges holds nothing."""
        self._write(f'\n  ],\n  "complete": {json.dumps(self._complete)}\n}}\n')
        self._member.close()
        self._archive.close()
        suffix, content = ("json", self._plain) if self._plain else ("zip", self._zipped)
        empty = empty and not self._exchanges
        return Export(f"{self._name}.{suffix}", content.getvalue(), self._exchanges, self._complete, empty)

    def _write(self, text: str) -> None:
        data = text.encode()
        self._member.write(data)
        if self._plain is not None:
            self._plain.write(data)


def _bytes(text: str) -> int:
    return len(text.encode())


def _exchange(exchange: ExportedTurn) -> Mapping[str, Any]:
    return {
        "conversation": str(exchange.conversation),
        "server": None if exchange.guild_id is None else str(exchange.guild_id),
        "name": None if exchange.author_name is None else str(exchange.author_name),
        "asked_at": _iso(exchange.asked_at),
        "prompt": exchange.prompt,
        "pictures": list(exchange.pictures),
        "reply": exchange.reply,
        "state": exchange.state.value,
        "prompt_tokens": exchange.prompt_tokens,
        "reply_tokens": exchange.reply_tokens,
    }


def _block(server: int, block: Block) -> Mapping[str, Any]:
    return {"server": str(server), "until": None if block.until is None else _iso(block.until)}


def _note(note: Note) -> Mapping[str, Any]:
    server = None if note.guild_id is None else str(note.guild_id)
    return {"server": server, "written_at": _iso(note.created_at), "text": note.text}


def _summary(summary: Summary) -> Mapping[str, Any]:
    return {"from": _iso(summary.since), "to": _iso(summary.until), "text": summary.text}


def _day(row: UsageRow) -> Mapping[str, Any]:
    return {
        "day": f"{_time(row.day * DAY):%Y-%m-%d}",
        "model": row.model,
        "server": None if row.guild_id is None else str(row.guild_id),
        "requests": row.requests,
        "prompt_tokens": row.prompt_tokens,
        "reply_tokens": row.reply_tokens,
        "cached_tokens": row.cached_tokens,
        "reasoning_tokens": row.reasoning_tokens,
    }


def _iso(seconds: float) -> str:
    return f"{_time(seconds):%Y-%m-%dT%H:%M:%SZ}"


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
