"""Every sentence for people in a conversation. Short, friendly, without blame; each says what to do next.

`-#` is Discord's small text. Technical detail has no place here: it goes to the log.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from bot.core.errors import QueueLimit
from bot.core.pictures import PictureProblem
from bot.core.quotas import Quota, QuotaExceeded
from bot.core.turns import FailureReason, Outcome, StopReason, TurnState
from bot.markdown.escaping import escape
from bot.texts import about, threads

FIRST_IN_DM = "-# I remember this chat. /reset forgets it."
MODERATORS = "-# Moderators: /server sets where I answer."
QUOTE_WITHHELD = f"-# I couldn't see the quoted message. In its menu, choose Apps, then {about.NAME}."
SHORTER = {
    QUOTE_WITHHELD: f"-# I couldn't see that. Use {about.NAME}.",
    **dict.fromkeys((threads.GO_ON, threads.NOT_ALLOWED, threads.NOT_OPENED), ""),
}
"""What stands in place of a notice where there is too little room for it, if anything."""
CANNOT_SAVE = "-# I can't save right now, so I'd forget this. Please try again later."
NOT_RESET = "I can't reach my memory right now, so nothing is cleared yet. Please try again later."
REFUSED = "-# Discord won't show my answer here. Rewording may help."
NO_MORE_HERE = "-# I can't write here any more, so the rest is missing. Please ask again in another channel."
RESTARTING = "-# I'm restarting. Please ask again in a minute."
TRYING_AGAIN = "-# I was restarted. Trying again…"
RETRYING = "-# Trying again…"
NOTHING_TO_FORGET = "There was nothing to forget."
WENT_WRONG = "-# Something went wrong on my side. Please try again."
REST_AS_FILE = "-# The rest is coming as a file."
AS_FILE = "-# The whole reply is in the file."
FORGET_MINE = "Forget mine"
FORGET_ALL = "Forget all"
FORGOTTEN_ALL = "Done."
NOT_YOURS_TO_RESET = "Only people who can manage messages here can reset everyone's questions."
NOTHING_TO_STOP = "I'm not writing anything for you here right now."
ONE_MOMENT = "One moment, then press again."
PRESS_LATER = "I have too much to do right now. Please press again in a minute."
RETRY_ANSWER = "Retry answer"
TRYING = "I'm trying again. My old answer stays until the new one begins."
NOT_AN_ANSWER = f"That isn't one of my answers. Use {RETRY_ANSWER} on one that is."
STILL_WRITING = "I'm still writing that answer. Wait for its end, or stop it first."
NOT_THE_LATEST = "I can only retry my latest answer to someone. Ask the question again."
TOO_BUSY = "I have too much to do right now. Please try again in a minute."
NOT_REMEMBERED = "I don't remember this one any more. Please ask again."


_SMALL = "-# "
_PROBLEMS = {
    FailureReason.UNREACHABLE: "My model isn't answering right now. Your question is saved.",
    FailureReason.CONFIGURATION: "I can't reach my AI provider. My owner has been told.",
    FailureReason.CONTENT_FILTERED: "The model's provider declined this one. Rewording may help.",
    FailureReason.LENGTH: "Cut at the length limit.",
    FailureReason.OUT_OF_ROOM: "I ran out of room before I could answer. Try again, or ask for something shorter.",
    FailureReason.EMPTY_REPLY: "The model had nothing to say. Try rewording.",
    FailureReason.TOO_LONG: "That's more than my model can read at once. A shorter message may work.",
    FailureReason.STORAGE: "I can't save right now, so I'd forget this. Please try again later.",
    FailureReason.INTERNAL: WENT_WRONG.removeprefix(_SMALL),
    FailureReason.TIME_UP: "Discord gives me 15 minutes for this. Press Retry to try again.",
    FailureReason.QUOTA: "I've reached my limit for today. Please ask again tomorrow.",
    FailureReason.NO_TRANSCRIPTION: "I can't listen to voice messages here. Please write it instead.",
    FailureReason.VOICE_TOO_LONG: "That voice message is longer than 10 minutes. Please send a shorter one.",
    FailureReason.VOICE_UNREADABLE: "I couldn't open that voice message. Please send it again.",
    FailureReason.NOTHING_HEARD: "I heard no words in that voice message. Please record it again, or write it.",
}

_UNSEEN = {
    PictureProblem.UNSEEN: "I can't see images with this model ({}).",
    PictureProblem.REFUSED: "My model doesn't accept this image ({}).",
    PictureProblem.GONE: "The image is no longer there ({}).",
    PictureProblem.WITHHELD: "I lost the image. Ask about it again ({}).",
    PictureProblem.UNREADABLE: "I can't read this image. Try another one ({}).",
    PictureProblem.NO_PICTURE: "I can't read this image. Try another one ({}).",
    PictureProblem.UNAVAILABLE: "I couldn't load the image. Try again ({}).",
    PictureProblem.LEFT_OUT: "These are too many images for me at once ({}).",
}
_LONGEST_NAME = 18
_LONGEST_NOTE = 154
"""Characters of the lines under a reply that are about its end. What else stands there takes no more than the rest."""

_FULL = {
    QueueLimit.USER: "I'm still busy with your earlier questions here.",
    QueueLimit.CONVERSATION: "Many questions are already waiting here.",
    QueueLimit.BOT: "I have more questions than I can answer right now.",
}

_USED_UP = {
    Quota.USER: "You've reached your limit for today.",
    Quota.GUILD: "This server has reached its limit for today.",
    Quota.TOTAL: "I've reached my limit for today.",
    Quota.BUDGET: "I've reached my limit for today.",
}


def full_size(sentence: str) -> str:
    """The lines of a sentence without Discord's mark for small text."""
    return "\n".join(line.removeprefix(_SMALL) for line in sentence.split("\n"))


def full(limit: QueueLimit) -> str:
    """The answer to a prompt that a full queue refuses. Later ones are only marked with a reaction."""
    return f"{_SMALL}{_FULL[limit]} Please ask this again later, and any question that I mark with 🕒."


def used_up(what: QuotaExceeded) -> str:
    """The answer where a quota is used up."""
    if what.quota is Quota.QUESTIONS:
        several = f"You've used your {what.limit} questions for this hour."
        used = "You've used your question for this hour." if what.limit == 1 else several
    else:
        used = _USED_UP[what.quota]
    return f"{_SMALL}{used} More <t:{what.until}:R>."


def hint(bot: str) -> str:
    """The answer to a mention without a question."""
    return f'Hi! Put your question in the same message: "@{bot} why is the night sky dark?"'


def unreadable(bot: str) -> str:
    """The answer to a message whose content the platform withholds."""
    return f"-# I can't read that one. Mention @{bot} itself, or leave the reply's ping on."


def note(outcome: Outcome) -> str | None:
    """Return the note under a reply with this outcome, or None if the reply is whole and needs none."""
    by = f"Answered by {outcome.answered_by}." if outcome.answered_by and outcome.text else None
    lines = [_SMALL + line for line in (by, _sentence(outcome)) if line]
    for problem, names in outcome.unseen.items():
        of_pictures = _SMALL + _of_pictures(problem, names)
        if sum(map(len, lines)) + len(of_pictures) <= _LONGEST_NOTE:
            lines.append(of_pictures)
    return "\n".join(lines) or None


def _of_pictures(problem: PictureProblem, names: Sequence[str]) -> str:
    """Why the model was not shown some pictures of a question."""
    first = names[0] if len(names[0]) <= _LONGEST_NAME else f"{names[0][: _LONGEST_NAME - 6]}…{names[0][-5:]}"
    others = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return _UNSEEN[problem].format(f"{escape(first)}{others}")


def _sentence(outcome: Outcome) -> str | None:
    if outcome.kept:
        # What stands above is no part of this attempt.
        outcome = replace(outcome, text="", kept=None)
    match outcome.stop_reason:
        case StopReason.RESET if not outcome.text:
            who = f"{outcome.stopped_by} cleared" if outcome.stopped_by else "Someone cleared"
            return f"{who} my memory here before I could answer. Please ask again."
        case StopReason.FORGOTTEN if not outcome.text:
            return (
                f"{'You asked me to forget you' if outcome.stopped_by else 'This was forgotten'} before I could answer."
            )
        case StopReason.USER | StopReason.RESET | StopReason.FORGOTTEN:
            return f"Stopped by {outcome.stopped_by}." if outcome.stopped_by else "Stopped."
        case StopReason.SHUTDOWN:
            return "I was restarted and couldn't finish."
    if outcome.state is TurnState.INTERRUPTED:
        return "I was restarted and couldn't finish."
    if outcome.state is TurnState.STOPPED:
        return "Stopped."
    if outcome.failure is FailureReason.BUSY:
        return f"My model is busy. Try again in {_wait(outcome.retry_after) if outcome.retry_after else 'a moment'}."
    if outcome.failure is FailureReason.UNREACHABLE and outcome.text:
        return "The answer broke off."
    if outcome.failure is FailureReason.TIME_UP and outcome.text:
        return "Discord gives me 15 minutes for this. Press Continue for the rest."
    if outcome.failure is FailureReason.OUT_OF_ROOM and outcome.text:
        return "I ran out of room before I could write more. Try again, or ask for something shorter."
    if outcome.quota_exceeded is not None:
        stopping = "I have to stop here. " if outcome.text else ""
        return stopping + used_up(outcome.quota_exceeded).removeprefix(_SMALL)
    return None if outcome.failure is None else _PROBLEMS[outcome.failure]


def _wait(seconds: float) -> str:
    """A time in a unit that is small enough for rounding up to add little."""
    if seconds <= 120:
        return f"{math.ceil(seconds)} s"
    if seconds <= 120 * 60:
        return f"{math.ceil(seconds / 60)} minutes"
    return f"{math.ceil(seconds / 3600)} hours"


def stopped(count: int) -> str:
    """The answer to a stop of so many replies."""
    return "Stopped." if count == 1 else f"Stopped {count} replies."


def not_theirs(name: str) -> str:
    """The answer to a press on a button under somebody else's reply."""
    return f"Only {name} and moderators can do that."


def was_reset(name: str, forgotten: int) -> str:
    """The public notice of a reset."""
    return f"{name} cleared my memory here: {questions(forgotten)}. The messages above stay."


def confirm_reset(number: int, people: int, *, own: int, may_forget_all: bool) -> str:
    """The private answer to a reset that concerns many questions of others."""
    what = f"{questions(number)} from {people:,} {'person' if people == 1 else 'people'} here"
    if may_forget_all:
        return f"I remember {what}. Forget {'yours, or all of them' if own else 'all of them'}?"
    rest = " Forget yours?" if own else ""
    return f"I remember {what}. Only people who can manage messages can reset all of them.{rest}"


def forgotten_own(forgotten: int) -> str:
    """The private answer after a user's own questions in a channel were forgotten."""
    return f"I have forgotten what you asked here: {questions(forgotten)}. The messages above stay."


def forgotten_private(forgotten: int) -> str:
    """The private answer after what a user asked for nobody else to see was forgotten."""
    return f"I have forgotten what you asked only for yourself here: {questions(forgotten)}. The messages above stay."


def questions(number: int) -> str:
    """A number of questions, in words."""
    return "1 question" if number == 1 else f"{number:,} questions"
