"""Summaries of what has left the conversations' windows: those to be made, and those that are made."""

from __future__ import annotations

import json
from collections.abc import Collection

from bot.core.summaries import NO_SUMMARIES, TITLE, Block, RememberedSummaries, Summary, SummaryJob, WindowSummaries
from bot.core.turns import Conversation, EarlierTurn, Prompt
from bot.store.engine import Lock, Row, Rows, Statement, Value
from bot.store.names import named_prompts
from bot.store.part import Part
from bot.store.rows import RUNNING, conversation_of, name_of

TOGETHER = 4
"""The summaries of one level of which one of the next level is made. Of more, one could keep less of each, and more of
them would be read with every question."""
_LATEST = 2
"""The latest summaries of blocks that are not among these yet."""
_HIGHEST = 8
"""The highest level. The triggers that drop summaries know no higher one."""
MOST_SHOWN = 16
"""The most summaries that are read for one context, the latest ones. Hardly more would fit, and reading them costs the
same however long the conversation is."""
_TURNS_AT_ONCE = 600
"""The most turns of a block, which is read as a whole."""

_JOBS = (Lock("summaries"),)
"""What all who make or divide jobs read before they do."""
_HERE = "SELECT id FROM conversations WHERE platform = :platform AND channel = :channel"
# From the beginning of the window back: each time what ends there, of the highest level, or the next before it.
_WALK = f"""
    walk (id, below, steps) AS (
        SELECT CAST(NULL AS BIGINT), begins, 0 FROM this
        UNION ALL
        SELECT found.id, found.begins, steps + 1
        FROM walk JOIN stored_summaries AS found ON found.id = (
            SELECT summaries.id FROM summaries
            WHERE summaries.conversation_id = (SELECT conversation_id FROM this) AND summaries.ends <= walk.below
              AND summaries.shown_from <= (SELECT begins FROM this)
            ORDER BY summaries.ends DESC, summaries.level DESC LIMIT 1
        )
        WHERE steps < {MOST_SHOWN}
    )
    """
_OF_TURN = """
    SELECT conversation_id, coalesce(:begins, window_begins) AS begins
    FROM turns JOIN conversations ON conversations.id = conversation_id
    WHERE turns.id = :turn AND (number IS NULL OR number > window_begins)
      AND (SELECT reads_history FROM stored_turns WHERE stored_turns.id = turns.id) = 1
    """
_OF_PROMPT = """
    SELECT id AS conversation_id, window_begins AS begins FROM conversations
    WHERE platform = :platform AND channel = :channel AND :reads_history = 1
    """
_SHOWN = f"""
    WITH RECURSIVE this AS ({{this}}), {_WALK}
    SELECT since, until, text, below, (
        SELECT ends FROM stored_summaries AS planned
        WHERE steps = 0 AND planned.conversation_id = (SELECT conversation_id FROM this) AND level = 1
        ORDER BY planned.begins DESC LIMIT 1
    ) AS planned
    FROM walk LEFT JOIN stored_summaries ON stored_summaries.id = walk.id
    ORDER BY steps
    """
_SHOWN_TO_TURN, _SHOWN_TO_PROMPT = _SHOWN.format(this=_OF_TURN), _SHOWN.format(this=_OF_PROMPT)
_COVERED = """
    coalesce(
        (
            SELECT ends FROM stored_summaries AS before
            WHERE before.conversation_id = conversations.id AND level = 1 ORDER BY before.begins DESC LIMIT 1
        ),
        0
    )
    """
LEAVES = f"""
    INSERT INTO stored_summaries (conversation_id, level, begins, ends, shown_from)
    SELECT id, 1, max(:begins, {_COVERED}), :to, :to FROM conversations
    WHERE id = (
        SELECT conversation_id FROM stored_turns
        WHERE id = (SELECT id FROM turns WHERE id = :turn) AND reads_history = 1
    ) AND window_begins = :now_begins AND max(:begins, {_COVERED}) < :to
    """
"""SQL that has the turns up to the number `to` summarized, as far as they are not, while the window begins so."""
TITLE_DUE = f"""
    INSERT INTO stored_summaries (conversation_id, level, begins, ends, shown_from)
    SELECT conversation_id, {TITLE}, number, number + 1, 0 FROM stored_turns
    WHERE id = (SELECT id FROM turns WHERE id = :turn AND attempt = :attempt) AND state = 'complete'
      AND NOT EXISTS (
          SELECT 1 FROM stored_summaries AS title
          WHERE title.conversation_id = stored_turns.conversation_id AND level = {TITLE}
      )
    """
"""SQL that has a thread titled from a turn, once."""
_RUNNING_INSIDE = f"""
    SELECT 1 FROM stored_turns INDEXED BY turns_undelivered
    WHERE stored_turns.conversation_id = job.conversation_id AND delivered = 0 AND {RUNNING}
      AND number >= job.begins AND number < job.ends
    """
_MISSING_BELOW = """
    SELECT 1 FROM stored_summaries AS below
    WHERE job.level > 1 AND below.conversation_id = job.conversation_id AND below.level = job.level - 1
      AND below.begins >= job.begins AND below.begins < job.ends AND below.due_at IS NOT NULL
    """
_LEAVING = """
    SELECT 1 FROM forgotten_users AS gone
    WHERE gone.conversation_id IN (0, job.conversation_id) AND (
        EXISTS (
            SELECT 1 FROM stored_turns AS turn
            WHERE turn.conversation_id = job.conversation_id AND turn.user_id = gone.user_id
              AND number >= job.begins AND number < job.ends AND turn.id <= through
        )
        OR EXISTS (
            SELECT 1 FROM stored_turns AS turn
            WHERE turn.conversation_id = job.conversation_id AND quoted_id = gone.user_id
              AND number >= job.begins AND number < job.ends AND turn.id <= through
        )
    )
    """
"""SQL for what is forgotten of a block and not gone yet. Its going would drop the summary once more."""
_DUE = f"""
    SELECT job.id, conversation_id, level, begins, ends, failures, platform, channel
    FROM stored_summaries AS job INDEXED BY summaries_due
    JOIN conversations ON conversations.id = conversation_id
    WHERE due_at <= :now AND conversation_id NOT IN (SELECT value FROM json_each(:passed_over)) AND {{served}}
      AND NOT EXISTS ({_RUNNING_INSIDE}) AND NOT EXISTS ({_MISSING_BELOW})
      AND NOT EXISTS ({_LEAVING})
    ORDER BY level, begins DESC LIMIT 1
    """
_TURNS = """
    FROM turns
    WHERE conversation_id = :conversation AND reply <> '' AND number >= :begins AND number < :ends
    """
_BELOW = """
    FROM summaries
    WHERE conversation_id = :conversation AND level = :level - 1 AND begins >= :begins AND begins < :ends
    """
_NAMES = """
    (
        SELECT group_concat(user_id || ' ' || name) FROM (
            SELECT mentions.user_id, name
            FROM mentions JOIN names
                ON names.conversation_id = mentions.conversation_id AND names.user_id = mentions.user_id
            WHERE mentions.turn_id = source.id ORDER BY mentions.user_id
        ) AS mentioned
    )
    """
_SOURCES = {
    # The names are those of people whom a prompt mentions.
    True: f"""
        SELECT coalesce(group_concat(
            id || ' ' || attempt || ' ' || length(prompt) || ' ' || prompt || length(reply) || ' ' || reply
            || coalesce({_NAMES}, '')
        ), '')
        FROM (SELECT id, attempt, prompt, reply {_TURNS} ORDER BY number) AS source
        """,
    False: f"""
        SELECT coalesce(group_concat(id || ' ' || since || ' ' || until || ' ' || length(text) || ' ' || text), '')
        FROM (SELECT id, since, until, text {_BELOW} ORDER BY begins) AS source
        """,
}
"""SQL for everything that a summary is made from, as one text, by whether that is turns."""
_THIS = "id = :id AND begins = :begins AND ends = :ends"
_NEXT_LEVEL = f"""
    INSERT INTO stored_summaries (conversation_id, level, begins, ends, shown_from)
    SELECT :conversation, :level + 1, min(begins), max(ends),
        (SELECT window_begins + 1 FROM conversations WHERE id = :conversation)
    FROM (
        SELECT begins, ends, due_at FROM (
            SELECT begins, ends, due_at, row_number() OVER () AS place, count(*) OVER () AS found FROM (
                SELECT begins, ends, due_at FROM stored_summaries
                WHERE conversation_id = :conversation AND level = :level AND begins >= coalesce(
                    (
                        SELECT ends FROM stored_summaries WHERE conversation_id = :conversation AND level = :level + 1
                        ORDER BY begins DESC LIMIT 1
                    ),
                    0
                )
                ORDER BY begins LIMIT {TOGETHER} + :latest
            ) AS first
        ) AS placed
        WHERE place <= {TOGETHER} AND found = {TOGETHER} + :latest
    ) AS block
    WHERE :level < {_HIGHEST} AND EXISTS (SELECT 1 FROM stored_summaries WHERE id = :id AND due_at IS NULL)
    HAVING count(*) = {TOGETHER} AND count(due_at) = 0
    """


class SummaryStore(Part):
    """The summaries of all conversations. Those of a forgotten conversation or turn are out of reach with it."""

    async def in_context(self, turn_id: int, begins: int | None) -> WindowSummaries:
        return _shown(await self._engine.read(_SHOWN_TO_TURN, turn=turn_id, begins=begins))

    async def ahead(self, prompt: Prompt) -> WindowSummaries:
        rows = await self._engine.read(
            _SHOWN_TO_PROMPT,
            platform=prompt.conversation.platform,
            channel=prompt.conversation.channel,
            reads_history=prompt.reads_history,
        )
        return _shown(rows)

    async def plan(self, turn_id: int, begins: int, ends: int) -> None:
        values: dict[str, Value] = {"turn": turn_id, "begins": begins, "now_begins": begins, "to": ends}
        await self._engine.transaction((LEAVES, values), locks=_JOBS)

    async def next_due(self, passed_over: Collection[int]) -> SummaryJob | None:
        due = _DUE.format(served=self._served("guild_id"))
        rows = await self._engine.read(due, now=self._now(), passed_over=json.dumps(list(passed_over)))
        if not rows:
            return None
        [row] = rows
        return SummaryJob(
            row["id"],
            row["conversation_id"],
            conversation_of(row),
            row["level"],
            row["begins"],
            row["ends"],
            row["failures"],
        )

    async def block_of(self, job: SummaryJob, most_bytes: int) -> Block | None:
        if job.level > 1:
            return await self._summaries_below(job)
        # First their sizes: a job may have all turns of a long conversation.
        sizes = await self._engine.read(
            f"SELECT number, size {_TURNS} ORDER BY number DESC LIMIT {_TURNS_AT_ONCE + 1}", **_values(job)
        )
        fitting, size = 0, 0
        while fitting < min(len(sizes), _TURNS_AT_ONCE) and (
            not fitting or size + sizes[fitting]["size"] <= most_bytes
        ):
            size += sizes[fitting]["size"]
            fitting += 1
        if fitting < len(sizes):
            await self._split(job, sizes[fitting - 1]["number"])
            return None
        # Then the sources: what changes while the rest is read makes the commit fail.
        sources = await self._sources(job)
        rows = await self._engine.read(
            f"""
            SELECT id, number, created_at, display_name, user_name, prompt, reply,
                state = 'complete' AND failure IS NULL AS finished
            {_TURNS} ORDER BY number
            """,
            **_values(job),
        )
        if not rows:
            await self._engine.write(f"DELETE FROM stored_summaries WHERE {_THIS}", **_values(job))
            return None
        return Block(
            since=rows[0]["created_at"],
            until=rows[-1]["created_at"],
            turns=[
                EarlierTurn(row["number"], name_of(row), prompt, row["reply"], bool(row["finished"]))
                for row, prompt in zip(rows, await named_prompts(self._engine, rows), strict=True)
            ],
            summaries=(),
            sources=sources,
        )

    async def _summaries_below(self, job: SummaryJob) -> Block | None:
        sources = await self._sources(job)
        rows = await self._engine.read(f"SELECT since, until, text {_BELOW} ORDER BY begins", **_values(job))
        below = [_summary(row) for row in rows]
        if not below:
            await self.failed(job, None)
            return None
        return Block(below[0].since, below[-1].until, (), below, sources)

    async def _sources(self, job: SummaryJob) -> str:
        [[sources]] = await self._engine.read(_SOURCES[job.level <= 1], **_values(job))
        return str(sources)

    async def _split(self, job: SummaryJob, at: int) -> None:
        """Make two jobs of one, of which the second has the turns from the number `at` on."""
        values: dict[str, Value] = {**_values(job), "at": at}
        await self._engine.transaction(
            (
                f"""
                INSERT INTO stored_summaries (conversation_id, level, begins, ends, shown_from)
                SELECT conversation_id, level, :at, ends, shown_from FROM stored_summaries
                WHERE {_THIS} AND begins < :at
                """,
                values,
            ),
            (f"UPDATE stored_summaries SET ends = :at, shown_from = :at WHERE {_THIS} AND begins < :at", values),
            locks=_JOBS,
        )

    async def commit(self, job: SummaryJob, block: Block, text: str) -> bool:
        values: dict[str, Value] = {
            **_values(job),
            "text": text,
            "since": block.since,
            "until": block.until,
            "sources": block.sources,
        }
        made, *_ = await self._engine.transaction(
            (
                f"""
                UPDATE stored_summaries SET text = :text, since = :since, until = :until, due_at = NULL, failures = 0
                WHERE {_THIS} AND due_at IS NOT NULL AND ({_SOURCES[job.level <= 1]}) = :sources
                RETURNING id
                """,
                values,
            ),
            *self._next_levels(job),
            locks=_JOBS,
        )
        return bool(made)

    def _next_levels(self, job: SummaryJob) -> list[Statement]:
        return [
            (_NEXT_LEVEL, {**_values(job), "level": level, "latest": _LATEST if level == 1 else 0})
            for level in range(1, job.level + 1)
        ]

    async def is_due(self, job: SummaryJob, block: Block) -> bool:
        rows = await self._engine.read(
            f"""
            SELECT 1 FROM stored_summaries
            WHERE {_THIS} AND due_at IS NOT NULL AND ({_SOURCES[job.level <= 1]}) = :sources
            """,
            **_values(job),
            sources=block.sources,
        )
        return bool(rows)

    async def end_title(self, conversation: Conversation) -> None:
        here: dict[str, Value] = {"platform": conversation.platform, "channel": conversation.channel}
        title = f"conversation_id = ({_HERE}) AND level = {TITLE}"
        await self._engine.transaction(
            (f"UPDATE stored_summaries SET due_at = NULL WHERE {title}", here),
            # None is due before the first answer has ended.
            (
                f"""
                INSERT INTO stored_summaries (conversation_id, level, begins, ends, shown_from, due_at)
                SELECT id, {TITLE}, 0, 0, 0, NULL FROM conversations
                WHERE id = ({_HERE}) AND asked_in IS NOT NULL
                  AND NOT EXISTS (SELECT 1 FROM stored_summaries WHERE {title})
                """,
                here,
            ),
            locks=_JOBS,
        )

    async def failed(self, job: SummaryJob, again_in: float | None) -> None:
        await self._engine.transaction(
            (
                f"""
                UPDATE stored_summaries SET due_at = :due, failures = failures + 1
                WHERE {_THIS} AND due_at IS NOT NULL
                """,
                {**_values(job), "due": None if again_in is None else self._now() + int(again_in)},
            ),
            *self._next_levels(job),
            locks=_JOBS,
        )

    async def postpone(self, job: SummaryJob, seconds: float) -> None:
        await self._engine.write(
            f"UPDATE stored_summaries SET due_at = :due WHERE {_THIS} AND due_at IS NOT NULL",
            **_values(job),
            due=self._now() + int(seconds),
        )

    async def remembered(self, conversation: Conversation) -> RememberedSummaries:
        """What the model is told of what has left a conversation's window, and what it is not told yet or never."""
        here: dict[str, Value] = {"platform": conversation.platform, "channel": conversation.channel}
        rows = await self._engine.read(
            f"""
            WITH RECURSIVE this AS (
                SELECT id AS conversation_id, window_begins AS begins FROM conversations WHERE id = ({_HERE})
            ), {_WALK}
            SELECT since, until, text FROM walk JOIN stored_summaries ON stored_summaries.id = walk.id ORDER BY steps
            """,
            **here,
        )
        [missing] = await self._engine.read(
            f"""
            SELECT count(*) FILTER (WHERE due_at IS NOT NULL) AS due, count(*) FILTER (WHERE due_at IS NULL) AS failed
            FROM stored_summaries JOIN conversations ON conversations.id = conversation_id
            WHERE conversation_id = ({_HERE}) AND level = 1 AND text IS NULL AND ends <= window_begins
            """,
            **here,
        )
        return RememberedSummaries([_summary(row) for row in rows][::-1], missing["due"], missing["failed"])

    async def remake(self, conversation: Conversation) -> bool:
        """Drop a conversation's summaries and have all that has left its window summarized. False: nothing has."""
        here: dict[str, Value] = {"platform": conversation.platform, "channel": conversation.channel}
        _, rows = await self._engine.delete_securely(
            (f"DELETE FROM stored_summaries WHERE conversation_id = ({_HERE}) AND level > {TITLE} RETURNING id", here),
            (
                f"""
                INSERT INTO stored_summaries (conversation_id, level, begins, ends, shown_from)
                SELECT id, 1, 0, window_begins, window_begins FROM conversations
                WHERE id = ({_HERE}) AND window_begins > 0
                RETURNING id
                """,
                here,
            ),
            locks=_JOBS,
        )
        return bool(rows)


def _values(job: SummaryJob) -> dict[str, Value]:
    return {
        "id": job.id,
        "conversation": job.conversation_id,
        "level": job.level,
        "begins": job.begins,
        "ends": job.ends,
    }


def _shown(rows: Rows) -> WindowSummaries:
    if not rows:
        return NO_SUMMARIES
    seed, *shown = rows
    return WindowSummaries([_summary(row) for row in shown], seed["planned"], seed["below"])


def _summary(row: Row) -> Summary:
    return Summary(row["since"], row["until"], row["text"])
