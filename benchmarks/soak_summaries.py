"""The audit of what the soak's model was asked to summarize: of one conversation at a time, and all of it paid for."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import pairwise

from benchmarks.soak_ledger import Question
from bot.core.summarizing import ASKED_FOR
from bot.core.titles import ASKED_FOR_TITLE
from bot.standin.model import Request
from bot.store.engine import Row

_QUESTION = re.compile(r"question (\d+)")


def asks_for_summary(request: Request) -> bool:
    """Whether a request is for a summary."""
    return ASKED_FOR in str(request.messages[-1]["content"])


def asks_for_title(request: Request) -> bool:
    return ASKED_FOR_TITLE in str(request.messages[-1]["content"])


def audit(
    requests: Sequence[Request],
    questions: Sequence[Question],
    rows: Callable[[str], Sequence[Row]],
    did: Counter[str],
) -> list[str]:
    """What is wrong with the summaries, once all is quiet. `questions` is all that was asked, by number."""
    wrong = []
    for request in filter(asks_for_summary, requests):
        did["requests for summaries"] += 1
        text = "\n".join(str(message["content"]) for message in request.messages)
        places = {questions[int(number)].channel.id for number in _QUESTION.findall(text)}
        if len(places) > 1:
            wrong.append(f"a request for a summary has questions of {len(places)} conversations")
    # The next attempt at a summary that is still due settles what an attempt that was cut off has left.
    unsettled = rows(
        """
        SELECT turn_id FROM charges WHERE turn_id < 0 AND settled = 0
            AND -turn_id NOT IN (SELECT id FROM stored_summaries WHERE due_at IS NOT NULL)
        """
    )
    wrong += [f"what was reserved for summary {-row['turn_id']} is not settled" for row in unsettled]
    kept = rows("SELECT * FROM stored_summaries WHERE level > 0 ORDER BY conversation_id, level, begins")
    did["summaries"] += sum(row["text"] is not None for row in kept)
    wrong += [
        f"summary {row['id']} is neither made nor due nor given up"
        for row in kept
        if row["text"] is None and row["due_at"] is None and not row["failures"]
    ]
    for before, after in pairwise(kept):
        same = (before["conversation_id"], before["level"]) == (after["conversation_id"], after["level"])
        if same and before["ends"] > after["begins"]:
            wrong.append(f"summaries {before['id']} and {after['id']} are of the same turns")
    return wrong
