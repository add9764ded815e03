"""The files in prompts: which of them are not read yet, and what was read of them. Their text is part of the prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from bot.core import attached
from bot.core.pictures import PictureReference
from bot.core.turns import Attempt, Quote
from bot.store.engine import Engine, Rows, Value
from bot.store.part import Part
from bot.store.pictures import keeping as keeping_pictures
from bot.store.rows import RUNNING

_THIS = f"id = (SELECT id FROM turns WHERE id = :turn AND attempt = :attempt) AND attempt = :attempt AND {RUNNING}"

_FILLED = f"SELECT id FROM stored_turns WHERE {_THIS} AND prompt = :prompt_text"


class FileStore(Part):
    """What the prompts of running attempts say of their files."""

    async def unread(self, attempt: Attempt) -> Mapping[int, str]:
        """The files in the prompt of an attempt that are not read yet: the platform's id of each, and its name."""
        rows = await self._prompt_of(attempt)
        return attached.unread(rows[0]["prompt"]) if rows else {}

    async def add(
        self, attempt: Attempt, entries: Mapping[int, str], pictures: Sequence[PictureReference] | None = None
    ) -> bool:
        """Commit what was read of files: their entries (see `bot.core.attached`), by id.

        `pictures` are those that the prompt has then, if they are others than before. The result is False if the
        attempt was forgotten, superseded or has ended.
        """
        while rows := await self._prompt_of(attempt):
            prompt, length = attached.filled(rows[0]["prompt"], entries, rows[0]["quote_length"])
            values: dict[str, Value] = {
                "turn": attempt.turn_id,
                "attempt": attempt.number,
                "prompt_text": prompt,
                "length": length,
                "text_before": rows[0]["prompt"],
            }
            changed, *_ = await self._engine.transaction(
                (
                    # An edit may come in between.
                    f"""
                    UPDATE stored_turns SET prompt = :prompt_text, quote_length = :length
                    WHERE {_THIS} AND prompt = :text_before
                    RETURNING id
                    """,
                    values,
                ),
                *([] if pictures is None else keeping_pictures(_FILLED, values, pictures)),
            )
            if changed:
                return True
        return False

    async def _prompt_of(self, attempt: Attempt) -> Rows:
        # Not that of the view, which leaves out the quotes of those who were forgotten.
        return await self._engine.read(
            f"SELECT prompt, quote_length FROM stored_turns WHERE {_THIS}",
            turn=attempt.turn_id,
            attempt=attempt.number,
        )


async def prompt_in(engine: Engine, message_id: int) -> str | None:
    """The prompt in a message, if it is on record, as it is stored."""
    rows = await engine.read(
        "SELECT prompt FROM stored_turns WHERE id IN (SELECT id FROM turns WHERE message_id = :message)",
        message=message_id,
    )
    return rows[0]["prompt"] if rows else None


def with_files_of(before: str, text: str, quote: Quote | None) -> tuple[str, Quote | None]:
    """An edited prompt and its quote, with what the prompt before it says of the files that are still in it."""
    text, length = attached.filled(text, attached.entries(before), quote.length if quote else 0)
    return text, None if quote is None else replace(quote, length=length)
