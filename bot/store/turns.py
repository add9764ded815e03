"""Turns: one prompt and its reply each, kept in their conversations."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from bot.core.attached import may_be_unread
from bot.core.pictures import PictureReference
from bot.core.quotas import QuotaExceeded
from bot.core.shards import Shards
from bot.core.turns import (
    Attempt,
    Outcome,
    Prompt,
    Quote,
    TurnState,
)
from bot.core.usage import ANY_REQUEST, LeastRequest
from bot.store.engine import Engine, Lock, Value
from bot.store.files import prompt_in, with_files_of
from bot.store.hourly_questions import AT_LIMIT, exceeded_questions
from bot.store.names import keeping
from bot.store.part import ALL
from bot.store.people import FORGOTTEN_QUOTE
from bot.store.pictures import keeping as keeping_pictures
from bot.store.pictures import with_those_found
from bot.store.processed import PROCESSED
from bot.store.quotas import SHORT, QuotaStore, settlement
from bot.store.rows import RUNNING, lock_of
from bot.store.summaries import TITLE_DUE
from bot.store.turn_reader import UNDELIVERED, TurnReader

_NOTHING: Mapping[Attempt, int] = MappingProxyType({})
_NO_NAMES: Mapping[int, str] = MappingProxyType({})

# A quote of the bot's own message belongs to the person who asked for that reply. If the reply is forgotten or the
# message was no reply, nobody could have the quote forgotten, and a deleted reply would come back through it.
_ASKER = "SELECT user_id FROM messages JOIN turns ON turns.id = turn_id WHERE messages.message_id = :source"
_NOBODYS = f"(:own = 1 AND NOT EXISTS ({_ASKER}))"
_PROMPT = f"CASE WHEN {_NOBODYS} THEN :unquoted ELSE :prompt_text END"
_QUOTED = f"CASE WHEN :own = 1 THEN ({_ASKER}) ELSE :source END"
_QUOTE_LENGTH = f"CASE WHEN {_NOBODYS} THEN 0 ELSE :quote_length END"
_OPEN_UNLESS = f"""
    INSERT INTO conversations (platform, channel, guild_id, origin_turn_id, parent_channel, asked_in, used_at)
    SELECT :platform, :channel, :guild,
        (SELECT turns.id FROM messages JOIN turns ON turns.id = turn_id WHERE messages.message_id = :origin),
        :parent, :asked_in, :now
    WHERE NOT EXISTS (
        SELECT 1 FROM conversations
        WHERE platform = :platform AND channel = :channel
          AND coalesce(parent_channel, '') = coalesce(:parent, parent_channel, '')
          AND coalesce(asked_in, '') = coalesce(:asked_in, asked_in, '')
    ) AND NOT EXISTS ({AT_LIMIT}) {{refused}}
    ON CONFLICT (platform, channel) DO UPDATE
    SET parent_channel = coalesce(excluded.parent_channel, conversations.parent_channel),
        asked_in = coalesce(excluded.asked_in, conversations.asked_in)
    """
_BEGIN_UNLESS = f"""
    INSERT INTO stored_turns (
        conversation_id, position, message_id, target_id, user_id, display_name, user_name,
        prompt, quoted_id, quote_length, created_at, reads_history
    )
    SELECT id, :position, :message_id, :target_id, :user_id, :display_name, :user_name,
        {{prompt}}, :now, :reads_history
    FROM conversations
    WHERE platform = :platform AND channel = :channel
      AND NOT EXISTS ({PROCESSED}) AND NOT EXISTS ({AT_LIMIT}) {{refused}}
    ON CONFLICT (conversation_id, position) DO NOTHING
    RETURNING id
    """
_UNLESS_SHORT = f"AND NOT EXISTS ({SHORT})"
_OPEN = _OPEN_UNLESS.format(refused="")
_OPEN_WITHIN_QUOTAS = _OPEN_UNLESS.format(refused=_UNLESS_SHORT)
# Few prompts quote the bot, and PostgreSQL prepares for looking up whom it answered even where it does not look.
_AS_GIVEN = ":prompt_text, :source, :quote_length"
_BEGIN = _BEGIN_UNLESS.format(prompt=_AS_GIVEN, refused="")
_BEGIN_WITHIN_QUOTAS = _BEGIN_UNLESS.format(prompt=_AS_GIVEN, refused=_UNLESS_SHORT)
_BEGIN_QUOTING_BOT = _BEGIN_UNLESS.format(prompt=f"{_PROMPT}, {_QUOTED}, {_QUOTE_LENGTH}", refused="")
_HERE = """
    SELECT id FROM stored_turns WHERE position = :position AND conversation_id = (
        SELECT id FROM conversations WHERE platform = :platform AND channel = :channel
    )
    """
_REFUSED = f"SELECT * FROM ({AT_LIMIT}) AS reached WHERE NOT EXISTS ({PROCESSED})"
_THIS = "(SELECT id FROM turns WHERE id = :turn AND attempt = :attempt)"
"""SQL for the id of the turn if it is not forgotten and the attempt is its latest, else NULL."""
_NUMBER = f"""
    UPDATE conversations SET last_number = last_number + 1
    WHERE id = (SELECT conversation_id FROM stored_turns WHERE id = {_THIS} AND {RUNNING} AND number IS NULL)
    """
_CLOSE = f"""
    UPDATE stored_turns
    SET reply = :reply_text, state = :state, failure = :failure, answered_by = :answered_by,
        prompt_tokens = :prompt_tokens, reply_tokens = :reply_tokens, ended_at = :now,
        number = coalesce(number, (SELECT last_number FROM conversations WHERE conversations.id = conversation_id))
    WHERE id = {_THIS} AND attempt = :attempt AND {RUNNING}
    RETURNING id
    """
# A recovery has no question of its own: how it ends decides whether the question before it counts.
_COUNT = """
    UPDATE recent_questions SET counts = :counts
    WHERE turn_id = :turn AND attempt = (
        SELECT max(attempt) FROM recent_questions WHERE turn_id = :turn AND attempt <= :attempt
    )
    """
_REOPENS = f"id = {_THIS} AND attempt = :attempt AND state = :expected"
_ASKED_AGAIN = "SELECT 1 FROM recent_questions WHERE turn_id = :turn AND attempt = :attempt + 1"
_LEFT_OVER = f"{UNDELIVERED} AND {RUNNING}"


class TurnStore(TurnReader):
    """Turns and their attempts, from the beginning of an attempt to its delivery."""

    def __init__(self, engine: Engine, clock: Callable[[], float], quotas: QuotaStore, shards: Shards = ALL) -> None:
        super().__init__(engine, clock, shards)
        self._quotas = quotas

    async def begin(
        self, prompt: Prompt, hourly_limit: int | None = None, least: LeastRequest = ANY_REQUEST
    ) -> Attempt | QuotaExceeded | None:
        values: dict[str, Value] = {
            "platform": prompt.conversation.platform,
            "channel": prompt.conversation.channel,
            "guild": prompt.guild_id,
            "origin": prompt.origin_message_id,
            "parent": prompt.parent.channel if prompt.parent else None,
            "asked_in": prompt.asked_in.channel if prompt.asked_in else None,
            "position": prompt.position,
            "message_id": prompt.message_id,
            "target_id": prompt.target_id,
            "display_name": prompt.author_name.display_name if prompt.author_name else None,
            "user_name": prompt.author_name.user_name if prompt.author_name else None,
            **_prompt_values(prompt.text, prompt.quote),
            "reads_history": prompt.reads_history,
            **self._quotas.hourly_limit(prompt.user_id, hourly_limit),
        }
        mentions = keeping(prompt.message_id, prompt.names) if prompt.message_id and prompt.names else []
        pictures = keeping_pictures(_HERE, values, prompt.pictures) if prompt.pictures else []
        locks = _locks(prompt)
        if not values["own"]:
            needed = {**values, **self._quotas.need(prompt, least)}
            _, begun, *_ = await self._engine.transaction(
                (_OPEN_WITHIN_QUOTAS, needed), (_BEGIN_WITHIN_QUOTAS, needed), *mentions, *pictures, locks=locks
            )
            if begun:
                return Attempt(begun[0]["id"])
        if used_up := await self._quotas.exceeded(prompt, least):
            return used_up
        _, begun, at_limit, *_ = await self._engine.transaction(
            (_OPEN, values),
            (_BEGIN_QUOTING_BOT if values["own"] else _BEGIN, values),
            (_REFUSED, values),
            *mentions,
            *pictures,
            locks=locks,
        )
        if begun:
            return Attempt(begun[0]["id"])
        return exceeded_questions(at_limit)

    async def correct(
        self,
        message_id: int,
        text: str,
        quote: Quote | None = None,
        names: Mapping[int, str] = _NO_NAMES,
        pictures: Sequence[PictureReference] = (),
    ) -> bool:
        """Commit the new text, quote and pictures of an edited prompt for later attempts.

        What was read of the files that are still in it stays. The result is False without a turn.
        """
        before = await prompt_in(self._engine, message_id) if may_be_unread(text) else None
        kept, shown = (text, quote), pictures
        if before is not None:
            kept = with_files_of(before, text, quote)
            shown = await with_those_found(self._engine, message_id, kept[0], pictures)
        values: dict[str, Value] = {"message_id": message_id, "text_before": before, **_prompt_values(*kept)}
        # Securely, since what it was and its summary go from the file.
        rows, *_ = await self._engine.delete_securely(
            (
                f"""
                UPDATE stored_turns SET prompt = {_PROMPT}, quoted_id = {_QUOTED}, quote_length = {_QUOTE_LENGTH}
                WHERE id IN (SELECT id FROM turns WHERE message_id = :message_id)
                  AND (:text_before IS NULL OR prompt = :text_before)
                RETURNING id
                """,
                values,
            ),
            *keeping(message_id, names),
            *keeping_pictures("SELECT id FROM turns WHERE message_id = :message_id", values, shown),
            locks=[Lock("message", message_id)],
        )
        if not rows and before is not None:
            # Its files were read meanwhile, or it was forgotten.
            return await self.correct(message_id, text, quote, names, pictures)
        return bool(rows)

    async def save(
        self, progress: Mapping[Attempt, str], reply_tokens: Mapping[Attempt, int] = _NOTHING
    ) -> set[Attempt]:
        if not progress:
            return set()
        values: list[Value] = []
        for attempt, text in progress.items():
            values += attempt.turn_id, attempt.number, text, reply_tokens.get(attempt, 0)
        # Without names, which SQLite would look up one by one.
        each = ", ".join(["(?, ?, ?, ?)"] * len(progress))
        progress_rows = f"progress (turn_id, attempt, text, tokens) AS (VALUES {each})"
        save = f"""
            WITH {progress_rows}
            UPDATE stored_turns SET state = 'streaming', reply = coalesce(nullif(progress.text, ''), reply)
            FROM progress
            WHERE stored_turns.id = (SELECT id FROM turns WHERE id = progress.turn_id AND attempt = progress.attempt)
              AND {RUNNING}
            RETURNING stored_turns.id, stored_turns.attempt
            """
        count = f"""
            WITH {progress_rows}
            UPDATE charges SET reply_so_far = progress.tokens FROM progress
            WHERE charges.turn_id = progress.turn_id AND charges.attempt = progress.attempt AND settled = 0
            """
        rows, *_ = await self._engine.transaction((save, values), *([(count, values)] if reply_tokens else []))
        return {Attempt(row["id"], row["attempt"]) for row in rows}

    async def replace(self, attempt: Attempt, text: str) -> None:
        await self._engine.write(
            """
            UPDATE stored_turns SET reply = :text
            WHERE id = (SELECT id FROM turns WHERE id = :turn AND attempt = :attempt)
              AND attempt = :attempt AND state IN ('pending', 'streaming')
            """,
            turn=attempt.turn_id,
            attempt=attempt.number,
            text=text,
        )

    async def close(self, attempt: Attempt, outcome: Outcome, *, free: bool = False, titles: bool = False) -> bool:
        end: dict[str, Value] = {
            "turn": attempt.turn_id,
            "attempt": attempt.number,
            "reply_text": outcome.text,
            "state": (outcome.kept or outcome).state,
            "failure": (outcome.kept or outcome).failure,
            "answered_by": outcome.answered_by,
            "counts": outcome.counts,
            "prompt_tokens": outcome.usage.prompt_tokens if outcome.usage else None,
            "reply_tokens": outcome.usage.reply_tokens if outcome.usage else None,
            "now": self._now(),
        }
        _, rows, *_ = await self._engine.transaction(
            (_NUMBER, end),
            (_CLOSE, end),
            settlement(attempt, outcome.usage, free=free),
            (_COUNT, end),
            *([(TITLE_DUE, end)] if titles else []),
            locks=[Lock("turn", attempt.turn_id), *([Lock("summaries")] if titles else [])],
        )
        return bool(rows)

    async def reopen(
        self,
        ended: Attempt,
        expected: TurnState,
        *,
        user_id: int | None = None,
        hourly_limit: int | None = None,
        reads_history: bool = True,
        recovery: bool = False,
    ) -> Attempt | QuotaExceeded | None:
        values: dict[str, Value] = {
            "turn": ended.turn_id,
            "attempt": ended.number,
            "expected": expected,
            "recovery": recovery,
            "reads_history": reads_history,
            **self._quotas.hourly_limit(user_id, None if recovery else hourly_limit),
        }
        at_limit, _, _, rows = await self._engine.delete_securely(
            (
                f"SELECT * FROM ({AT_LIMIT}) AS reached WHERE EXISTS (SELECT 1 FROM stored_turns WHERE {_REOPENS})",
                values,
            ),
            (
                f"""
                INSERT INTO recent_questions (user_id, at, turn_id, attempt)
                SELECT :user_id, :now, id, attempt + 1 FROM stored_turns
                WHERE :recovery = 0 AND {_REOPENS} AND NOT EXISTS ({AT_LIMIT})
                """,
                values,
            ),
            (
                f"""
                UPDATE conversations SET used_at = :now
                WHERE id = (SELECT conversation_id FROM turns WHERE id = :turn) AND EXISTS ({_ASKED_AGAIN})
                """,
                values,
            ),
            (
                f"""
                UPDATE stored_turns
                SET attempt = attempt + 1, tries = CASE WHEN :recovery = 1 THEN tries + 1 ELSE 1 END, state = 'pending',
                    failure = NULL, prompt_tokens = NULL, reply_tokens = NULL, ended_at = NULL, delivered = 0,
                    delivery_error = NULL, reads_history = min(reads_history, :reads_history)
                WHERE {_REOPENS} AND (:recovery = 1 OR EXISTS ({_ASKED_AGAIN}))
                RETURNING attempt
                """,
                values,
            ),
            locks=[Lock("turn", ended.turn_id), *([] if user_id is None else [Lock("user", user_id)])],
        )
        return Attempt(ended.turn_id, rows[0]["attempt"]) if rows else exceeded_questions(at_limit)

    async def set_answered_by(self, attempt: Attempt, answered_by: str | None) -> None:
        await self._engine.write(
            f"""
            UPDATE stored_turns SET answered_by = :answered_by
            WHERE id = {_THIS} AND attempt = :attempt AND state IN ('pending', 'streaming')
            """,
            turn=attempt.turn_id,
            attempt=attempt.number,
            answered_by=answered_by,
        )

    async def mark_delivered(self, attempt: Attempt, delivery_error: str | None = None) -> None:
        this: dict[str, Value] = {"turn": attempt.turn_id, "attempt": attempt.number}
        await self._engine.transaction(
            (
                f"DELETE FROM messages WHERE turn_id = {_THIS} AND message_id IS NULL",
                this,
            ),
            (
                f"""
                UPDATE stored_turns SET delivered = 1, delivery_error = :delivery_error
                WHERE id = {_THIS} AND attempt = :attempt
                """,
                {**this, "delivery_error": delivery_error},
            ),
        )

    async def interrupt_left_over(self, platform: str, channel: str | None = None) -> None:
        """Mark as interrupted what an earlier process left unfinished in a channel, or (None) on a whole platform.

        What such a process left reserved there is charged. To be called before any attempt begins.
        """
        served = self._served("guild_id")
        left_over = f"{_LEFT_OVER} AND conversation_id IN (SELECT id FROM conversations WHERE {served})"
        number = f"""
            UPDATE stored_turns SET number = numbered.number
            FROM (
                SELECT stored_turns.id,
                    last_number + row_number() OVER (PARTITION BY conversation_id ORDER BY position) AS number
                FROM stored_turns INDEXED BY turns_undelivered
                JOIN conversations ON conversations.id = conversation_id
                WHERE {left_over} AND number IS NULL
            ) AS numbered
            WHERE numbered.id = stored_turns.id
            """
        count = f"""
            UPDATE conversations SET last_number = max(last_number, numbered.last)
            FROM (
                SELECT conversation_id, max(number) AS last FROM stored_turns INDEXED BY turns_undelivered
                WHERE {left_over} GROUP BY conversation_id
            ) AS numbered
            WHERE numbered.conversation_id = conversations.id
            """
        interrupt = f"UPDATE stored_turns SET state = 'interrupted', ended_at = :now WHERE {left_over}"
        uncount = f"""
            UPDATE recent_questions SET counts = 0 WHERE id IN (
                SELECT max(id) FROM recent_questions WHERE turn_id IN (
                    SELECT id FROM stored_turns WHERE {left_over}
                )
                GROUP BY turn_id
            )
            """
        values: dict[str, Value] = {"platform": platform, "channel": channel, "now": self._now()}
        await self._engine.transaction(
            (uncount, values),
            (number, values),
            (count, values),
            (interrupt, values),
            self._quotas.left_over(platform, channel),
        )


def _locks(prompt: Prompt) -> list[Lock]:
    """What decides about a new turn: its conversation, its message, its author's questions, and whoever it quotes."""
    locks = [lock_of(prompt.conversation)]
    people = {prompt.user_id, None if prompt.quote is None or prompt.quote.own else prompt.quote.source_id}
    locks += [Lock("user", each) for each in people if each is not None]
    return locks if prompt.message_id is None else [*locks, Lock("message", prompt.message_id)]


def _prompt_values(text: str, quote: Quote | None) -> dict[str, Value]:
    """The values of a prompt and its quote. `unquoted` replaces a quote that nobody could ever have forgotten."""
    length = quote.length if quote else 0
    return {
        "prompt_text": text,
        "unquoted": FORGOTTEN_QUOTE + text[length:],
        "source": quote.source_id if quote else None,
        "own": quote is not None and quote.own,
        "quote_length": length,
    }
