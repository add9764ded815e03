"""The sentences on the bot's records of people and on how people have them forgotten."""

from __future__ import annotations

from collections.abc import Sequence

from bot import texts

UNREACHABLE = "I can't reach my memory right now. Please try again later."
NOTHING_OF_YOU = "Nothing is stored about you."
NOTHING_OF_YOU_ANY_MORE = "Nothing is stored about you any more."
FORGET = "Forget everything about me"
FORGET_AND_LEAVE_OUT = "Forget it, and leave my messages out"
KEEP = "Keep it"
KEPT = "All right, nothing is forgotten."
NOT_FORGOTTEN = "I can't reach my memory right now, so nothing is forgotten yet. Please press again later."
NOT_YOURS = "Only the person who used the command can press this."
NOTHING_TO_EXPORT = "I have no questions, usage or settings of yours, so there is no file."
NOTHING_TO_EXPORT_HERE = (
    "I have no questions or usage of yours in this server, so there is no file. In a direct message to me, /export"
    " covers all places."
)
EXPORTING_ALREADY = "I'm still making your file. It will come in a moment."
NOT_EXPORTED = "I couldn't send you the file. Please try again later."
NOTHING_HERE = "I remember nothing here."

_BLOCKED = "You stay blocked where moderators blocked you."


def confirm_forgetting(questions: int, conversations: int, *, blocked: bool) -> str:
    """The question that a person confirms before everything about them is forgotten."""
    if questions:
        where = "1 conversation" if conversations == 1 else f"{conversations:,} conversations"
        what = f"your {texts.questions(questions)} and my replies, in {where}, in all servers and direct messages"
    else:
        what = (
            "your notes, your usage, your settings, also those in our direct message, and what others quoted from you"
        )
    return _lines(
        f"This makes me forget everything about you: {what}. It cannot be undone.",
        "The messages on Discord stay, with their images and files. What others wrote to me stays too.",
        "Your /settings go back to the defaults. With the second button I remember one thing: that your recent messages"
        " are left out when someone else asks me something.",
        _BLOCKED if blocked else None,
    )


def forgotten(questions: int, *, blocked: bool, left_out: bool = False) -> str:
    """The word on it afterwards."""
    what = f": {texts.questions(questions)}" if questions else ""
    return _lines(
        f"I have forgotten everything about you{what}. The messages on Discord stay.",
        "I still count what you used today until the limits reset. That count isn't saved.",
        "I only remember to leave your messages out. /settings changes that." if left_out else None,
        _BLOCKED if blocked else None,
    )


def memory(
    *,
    questions: int,
    since: int,
    people: Sequence[tuple[str | None, int]],
    more_people: int,
    tokens: int,
    reminded: int,
    readers: str,
    retention_days: int,
    private: bool,
) -> str:
    """The full summary of the records of the place where it is asked. `since` is in seconds since the epoch."""
    whose = "" if private else f": {_of(people, more_people)}"
    kept = (
        f"I delete it when nobody has used it for {days(retention_days)}."
        if retention_days
        else "I keep it until someone deletes it."
    )
    return _lines(
        f"Here I remember {texts.questions(questions)} and my replies since <t:{since}:D>{whose}.",
        f"That is roughly {tokens:,} tokens. With each question my model is sent at most {reminded:,} of them, the "
        "latest.",
        "I keep the words in text files, PDFs and voice messages, and which images were shown, but not the files "
        "themselves.",
        readers,
        f"{kept} /reset forgets all of it now. /forget-me forgets everything of yours, here and elsewhere.",
    )


def readers(providers: Sequence[str], *, private: bool) -> str:
    """Who gets to read what is remembered: among others the providers of the models."""
    whose = "my model's provider" if len(providers) == 1 else "my models' providers"
    named = f"{whose} ({' and '.join(providers)})"
    if private:
        return f"It can be read by you, by {named} and by my owner."
    return f"It can be read by {named}, by my owner and, through my answers, by everyone who can see this channel."


def exported(questions: int, *, here: bool, complete: bool) -> str:
    """The message that comes with an exported file."""
    where = "in this server" if here else "in all servers and direct messages"
    what = f"{'' if complete else 'only the latest '}{texts.questions(questions)} of yours {where} with my replies, "
    what += (
        "your notes and settings, what you used here, and whether its moderators block you."
        if here
        else "your notes and settings, what you used, what you set in our direct message, the summaries of it, and"
        " which servers' moderators block you."
    )
    if not complete:
        return f"The file has {what} Discord allows no larger file. Ask my owner for the rest."
    return f"The file has {what}{' In a direct message to me, /export covers all places.' if here else ''}"


def _of(people: Sequence[tuple[str | None, int]], more: int) -> str:
    if not people:
        return "1 person" if more == 1 else f"{more:,} people"
    named = ", ".join(f"{name or 'someone'} {questions:,}" for name, questions in people)
    return f"{named} and {more:,} more people" if more > 1 else f"{named} and 1 more person" if more else named


def days(number: int) -> str:
    """A number of days, in words."""
    return "a day" if number == 1 else f"{number:,} days"


def _lines(*sentences: str | None) -> str:
    return "\n".join(filter(None, sentences))
