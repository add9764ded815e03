"""Where the pictures of prompts are found again. The pictures themselves are never stored."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence

from bot.core.attached import without_ids
from bot.core.pictures import PictureReference
from bot.core.prompt_text import PICTURE, picture_place
from bot.store.engine import Engine, Rows, Statement, Value
from bot.store.part import Part
from bot.store.rows import as_json

_READABLE = """
    NOT (
        quoted = 1 AND EXISTS (
            SELECT 1 FROM stored_turns AS turn JOIN forgotten_users AS gone
            ON gone.user_id = quoted_id AND gone.conversation_id IN (0, turn.conversation_id) AND turn.id <= through
            WHERE turn.id = turn_id
        )
    )
    """
"""SQL condition for a picture that is no part of a quote of somebody who was forgotten."""


def keeping(turn: str, values: Mapping[str, Value], pictures: Sequence[PictureReference]) -> list[Statement]:
    """The statements that put the pictures of a prompt on record in place of those before.

    `turn` is SQL for the id of its turn, with these values.
    """
    rows = [[each.source, each.name, each.width, each.height, int(each.quoted)] for each in pictures]
    return [
        (f"DELETE FROM pictures WHERE turn_id = ({turn})", values),
        (
            f"""
            INSERT INTO pictures (turn_id, place, source, name, width, height, quoted)
            SELECT turn.id, key, json_extract(value, '$[0]'), json_extract(value, '$[1]'),
                CAST(json_extract(value, '$[2]') AS BIGINT), CAST(json_extract(value, '$[3]') AS BIGINT),
                CAST(json_extract(value, '$[4]') AS BIGINT)
            FROM ({turn}) AS turn, json_each(:pictures, '$')
            """,
            {**values, "pictures": as_json(rows)},
        ),
    ]


async def pictures_of(engine: Engine, rows: Rows, prompts: Sequence[str]) -> list[Sequence[PictureReference]]:
    """The pictures of rows with the `id` of turns and of their prompts, in the order in which each names them."""
    showing = [row["id"] for row, prompt in zip(rows, prompts, strict=True) if PICTURE in prompt]
    if not showing:
        return [()] * len(rows)
    found = await _of_turns(engine, showing)
    return [_as_named(found.get(row["id"], []), prompt) for row, prompt in zip(rows, prompts, strict=True)]


def _as_named(pictures: Sequence[PictureReference], prompt: str) -> Sequence[PictureReference]:
    places = ((picture_place(prompt, each.name), each) for each in pictures)
    return [each for place, each in sorted(places, key=lambda pair: pair[0]) if place >= 0]


async def with_those_found(
    engine: Engine, message_id: int, prompt: str, pictures: Sequence[PictureReference]
) -> Sequence[PictureReference]:
    """The pictures that an edited prompt names: of these, and of those that its files have turned out to be."""
    rows = await engine.read("SELECT id FROM turns WHERE message_id = :message", message=message_id)
    before = await _of_turns(engine, [row["id"] for row in rows])
    known = {each.source for each in pictures}
    found = (each for all_found in before.values() for each in all_found if each.source not in known)
    return _as_named([*pictures, *found], without_ids(prompt))


async def _of_turns(engine: Engine, turn_ids: Collection[int]) -> dict[int, list[PictureReference]]:
    rows = await engine.read(
        f"""
        SELECT source, name, width, height, quoted, turn_id FROM pictures
        WHERE turn_id IN (SELECT id FROM turns WHERE id IN (SELECT value FROM json_each(:turns))) AND {_READABLE}
        ORDER BY turn_id, place
        """,
        turns=json.dumps(list(turn_ids)),
    )
    found: dict[int, list[PictureReference]] = {}
    for source, name, width, height, quoted, turn_id in rows:
        found.setdefault(turn_id, []).append(PictureReference(source, name, width, height, bool(quoted), turn_id))
    return found


class PictureStore(Part):
    """The references of the pictures of all turns."""

    async def of_turns(self, turn_ids: Collection[int]) -> Mapping[int, Sequence[PictureReference]]:
        return await _of_turns(self._engine, turn_ids)
