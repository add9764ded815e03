"""The turns that are part of a context, and where those of a conversation begin."""

from __future__ import annotations

from bot.core.turns import ContextPage, EarlierTurn, Prompt, UserName
from bot.store.engine import Lock, Rows, Value
from bot.store.names import named_prompts
from bot.store.part import Part
from bot.store.pictures import pictures_of
from bot.store.rows import RUNNING
from bot.store.summaries import LEAVES

_EARLIER = "display_name, user_name, prompt, reply, state = 'complete' AND failure IS NULL AS finished"
_READABLE = """
    ((SELECT reads_history FROM this) = 1 OR coalesce(user_id, 0) = (SELECT coalesce(user_id, 0) FROM this))
    """
_OF_TURN = """
    SELECT conversation_id, position, user_id, origin_turn_id, window_begins,
        coalesce(min(number, :before), number, :before, 9223372036854775807) AS below,
        CASE WHEN number <= window_begins THEN 0 ELSE window_begins END AS since,
        (SELECT reads_history FROM stored_turns WHERE stored_turns.id = turns.id) AS reads_history
    FROM turns JOIN conversations ON conversations.id = conversation_id WHERE turns.id = :turn
    """
_OF_PROMPT = """
    SELECT id AS conversation_id, :position AS position, :user_id AS user_id, origin_turn_id, window_begins,
        coalesce(:before, 9223372036854775807) AS below, window_begins AS since, :reads_history AS reads_history
    FROM conversations WHERE platform = :platform AND channel = :channel
    """
# A turn that is tried again keeps its number, but is beside the others until it ends. The turn that a thread was opened
# on has the number 0 there.
_CONTEXT = f"""
    WITH this AS ({{this}})
    SELECT id, NULL AS number, (SELECT window_begins FROM this) AS begins, {_EARLIER}
    FROM turns
    WHERE :before IS NULL AND reply <> '' AND {_READABLE} AND id IN (
        SELECT id FROM stored_turns INDEXED BY turns_undelivered
        WHERE conversation_id = (SELECT conversation_id FROM this) AND delivered = 0 AND {RUNNING}
          AND position < (SELECT position FROM this)
          AND (number IS NULL OR number >= (SELECT since FROM this) AND number < (SELECT below FROM this))
    )
    UNION ALL
    SELECT * FROM (
        SELECT * FROM (
            SELECT id, number, (SELECT window_begins FROM this) AS begins, {_EARLIER}
            FROM turns
            WHERE conversation_id = (SELECT conversation_id FROM this) AND reply <> '' AND NOT {RUNNING}
              AND number >= (SELECT since FROM this) AND number < (SELECT below FROM this) AND {_READABLE}
            ORDER BY number DESC LIMIT :limit
        ) AS in_window
        UNION ALL
        SELECT id, 0, (SELECT window_begins FROM this) AS begins, {_EARLIER}
        FROM turns
        WHERE id = (SELECT origin_turn_id FROM this WHERE since = 0 AND below > 0) AND reply <> '' AND {_READABLE}
        ORDER BY number DESC LIMIT :limit
    ) AS ended
    ORDER BY number DESC, id DESC
    """
_CONTEXT_OF_TURN, _CONTEXT_OF_PROMPT = _CONTEXT.format(this=_OF_TURN), _CONTEXT.format(this=_OF_PROMPT)


class WindowStore(Part):
    """The windows of all conversations: what of each is sent with a question."""

    async def earlier(self, turn_id: int, before: int | None, limit: int) -> ContextPage:
        return await self._page(await self._engine.read(_CONTEXT_OF_TURN, turn=turn_id, before=before, limit=limit))

    async def ahead(self, prompt: Prompt, limit: int) -> ContextPage:
        rows = await self._engine.read(
            _CONTEXT_OF_PROMPT,
            platform=prompt.conversation.platform,
            channel=prompt.conversation.channel,
            position=prompt.position,
            user_id=prompt.user_id,
            reads_history=prompt.reads_history,
            before=None,
            limit=limit,
        )
        return await self._page(rows)

    async def _page(self, rows: Rows) -> ContextPage:
        prompts = await named_prompts(self._engine, rows)
        pictures = await pictures_of(self._engine, rows, prompts)
        turns = [
            EarlierTurn(
                number, None if display is None else UserName(display, user), prompt, reply, bool(finished), shown
            )
            for (_, number, _, display, user, _, reply, finished), prompt, shown in zip(
                rows, prompts, pictures, strict=True
            )
        ]
        return ContextPage(
            begins=rows[0][2] if rows else 0,
            running=[turn for turn in turns if turn.number is None],
            turns=[turn for turn in turns if turn.number is not None],
        )

    async def move(self, turn_id: int, begins: int, to: int, *, summarized: bool = False) -> bool:
        values: dict[str, Value] = {"turn": turn_id, "begins": begins, "to": to, "now_begins": to}
        rows, *_ = await self._engine.transaction(
            (
                """
                UPDATE conversations SET window_begins = :to
                WHERE id = (
                    SELECT conversation_id FROM stored_turns
                    WHERE id = (SELECT id FROM turns WHERE id = :turn) AND reads_history = 1
                ) AND window_begins = :begins AND window_begins < :to
                RETURNING 1
                """,
                values,
            ),
            *([(LEAVES, values)] if summarized else []),
            locks=[Lock("summaries")] if summarized else [],
        )
        return bool(rows)
