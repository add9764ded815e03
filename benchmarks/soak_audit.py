"""The audit of every prompt of a soak: what people see of it, against its row."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from benchmarks.soak_ledger import Asked, Ledger, heads_of
from bot import texts
from bot.standin.entities import Message
from bot.standin.server import DiscordStandin
from bot.store.engine import Row

Rows = Callable[[str], list[Row]]

_NOTES = {
    "stopped": "-# Stopped",
    "interrupted": "-# I was restarted and couldn't finish.",
    "length": "-# Cut at the length limit.",
    "unreachable": "-# (My model isn't answering right now|The answer broke off).",
    "busy": "-# My model is busy.",
    "configuration": "-# I can't reach my AI provider.",
    "content filtered": "-# The model's provider declined",
    "empty reply": "-# The model had nothing to say.",
}
"""What people are told, as patterns, by a turn's state or else its failure."""
_TURNS = """
    SELECT turns.*, attempt > 1 AND EXISTS (
        SELECT 1 FROM recent_questions
        WHERE turn_id = turns.id AND recent_questions.attempt = turns.attempt AND counts = 0
    ) AS retried_in_vain
    FROM turns
    """


def audit(discord: DiscordStandin, ledger: Ledger, rows: Rows, lost_track_of: Callable[[Message], bool]) -> list[str]:
    """What is wrong with the prompts: each has one outcome that people see, and one row that says the same.

    `lost_track_of` tells of which messages the bot cannot know that it has posted them.
    """
    turns = {row["target_id"] or row["position"]: row for row in rows(_TURNS)}
    sent: dict[int, list[int | None]] = {}
    for part in rows("SELECT * FROM messages ORDER BY turn_id, part"):
        sent.setdefault(part["turn_id"], []).append(part["message_id"])
    wrong = []
    for asked in ledger.asked:
        row = turns.pop(asked.message.id, None)
        heads = heads_of(discord, asked)
        if len(heads) > 1:
            known = [] if row is None else sent.get(row["id"], [])
            # What nobody knows of is answered again. Whoever was told to ask again, and edits their question, does so.
            left = [
                head
                for head in heads
                if head.id in known
                or not (lost_track_of(head) or (asked.message.edited and texts.CANNOT_SAVE in head.content))
            ]
            # One has to be there in any case.
            left = left or heads[-1:]
            ledger.did["answers that nobody could note"] += len(heads) - len(left)
            heads = left
        wrong += _faults_of(asked, heads, row, sent)
    return wrong + [f"turn {each['id']} answers no prompt" for each in turns.values()]


def _faults_of(
    asked: Asked, heads: Sequence[Message], row: Row | None, sent: Mapping[int, list[int | None]]
) -> list[str]:
    """What is wrong with one prompt, whose answers begin with these messages."""
    prompt = asked.message
    name = f"{prompt.content!r} in #{prompt.channel.name} ({prompt.id}, {'up' if asked.alive else 'away'})"
    found = []
    if prompt.reactions.get("⏳") and not prompt.deleted:
        found.append("an hourglass was left")
    if not asked.excused and any(button.get("label") == "Stop" for head in heads for button in head.buttons):
        found.append("Stop was left under it")
    if len(heads) > 1:
        found.append(f"answered {len(heads)} times: {[head.content[:60] for head in heads]}")
    if not asked.excused and not heads:
        found.append("no answer")
    # Whoever is told that nothing can be saved has to ask again.
    refused = any(texts.CANNOT_SAVE in head.content for head in heads)
    if row is None and not asked.forgotten and not refused:
        found.append(f"no row, and says {[head.content[:100] for head in heads]}")
    if row is not None and not asked.excused:
        found += _disagreements(row, heads, sent.get(row["id"], []))
    return [f"{name}: {fault}" for fault in found]


def _disagreements(row: Row, heads: Sequence[Message], ids: list[int | None]) -> list[str]:
    """Where what is shown is not what the row says."""
    if row["state"] in ("pending", "streaming") or not row["delivered"]:
        return [f"state {row['state']}, delivered {row['delivered']}"]
    if not heads:
        return []
    channel = heads[0].channel
    shown = [channel.messages.get(each or 0) for each in ids]
    if None in shown or heads[0] is not shown[0]:
        return [f"its messages on record {ids} are not those shown, from {heads[0].id}"]
    messages = [message for message in shown if message is not None]
    text = "\n".join(message.content for message in messages)
    if files := [attachment for message in messages for attachment in message.attachments]:
        said = files[-1].data.decode().split()
    else:
        text = re.sub(r"^-# \S+ asked(?:: “.*”| about this\.)$\n?", "", text, flags=re.MULTILINE)
        said = [word for word in text.split("\n-# ")[0].split() if not text.startswith("-# ")]
    found = []
    if said != row["reply"].split():
        found.append(f"shows {len(said)} words, has {len(row['reply'].split())} ({row['state']}, {row['failure']})")
    note = _NOTES.get(row["state"]) or _NOTES.get(row["failure"] or "")
    if note and row["attempt"] > 1 and row["reply"]:
        # An attempt without text keeps the reply before it on record, with its end, and shows how it ended itself.
        note = "|".join([*_NOTES.values(), re.escape(texts.CANNOT_SAVE)])
    if note and not re.search(note, text):
        found.append(f"is {row['state']} ({row['failure']}) and says {text[-80:]!r}")
    # Who was killed before telling how a retry failed leaves the reply before it, which says that there was one.
    if row["state"] == "complete" and row["failure"] is None and "\n-# I was" in text and not row["retried_in_vain"]:
        found.append(f"is complete and says {text[-80:]!r}")
    return found
