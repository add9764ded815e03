"""What people are told of what the bot remembers of them, and how it is forgotten."""

from __future__ import annotations

from collections.abc import Sequence

from bot.phrases import count

UNREACHABLE = "I can't reach my memory right now. Please try again later."
NOTHING_OF_YOU = "I have nothing on record of you."
NOTHING_OF_YOU_ANY_MORE = "There is nothing on record of you any more."
FORGET = "Forget everything of me"
KEEP = "Keep it"
KEPT = "All right, nothing is forgotten."
NOT_FORGOTTEN = "I can't reach my memory right now, so it is all still there. Please press again later."
NOT_YOURS = "Only the person who asked for this can press it."
NOTHING_TO_EXPORT = "I have nothing on record of you, so there is no file."
NOTHING_TO_EXPORT_HERE = (
    "I have nothing on record of you in this server, so there is no file. In a direct message to me, /export gives you "
    "everything."
)
NOT_EXPORTED = "I couldn't get the file to you. Please try again later."
NOTHING_HERE = "I remember nothing here."

_BLOCKED = "A moderator's block on you stays in force."


def confirm_forgetting(exchanges: int, conversations: int, *, blocked: bool) -> str:
    """What there is to consider before everything of a person is forgotten."""
    if exchanges:
        where = "1 conversation" if conversations == 1 else f"{conversations:,} conversations"
        what = f"your {count(exchanges)} with me, in {where}, in all servers and direct messages"
    else:
        what = "what I keep of how much you used me and what others quoted of you"
    return _lines(
        f"This makes me forget everything of you: {what}. It cannot be undone.",
        "The messages on Discord stay, and so does what others wrote to me.",
        _BLOCKED if blocked else None,
    )


def forgotten(exchanges: int, *, blocked: bool) -> str:
    """The word on it afterwards."""
    what = f": {count(exchanges)}" if exchanges else ""
    return _lines(
        f"I have forgotten everything of you{what}. The messages on Discord stay.",
        "What you used of today's limits counts until they begin anew; that is in no file any more.",
        _BLOCKED if blocked else None,
    )


def memory(
    *,
    exchanges: int,
    since: int,
    people: Sequence[tuple[str | None, int]],
    more_people: int,
    tokens: int,
    reminded: int,
    readers: str,
    retention_days: int,
    private: bool,
) -> str:
    """What is remembered of the place where it is asked, in full. `since` is seconds since the epoch."""
    whose = "" if private else f": {_of(people, more_people)}"
    kept = (
        f"I delete it when nobody has used it for {_days(retention_days)}."
        if retention_days
        else "I keep it until somebody has it forgotten."
    )
    return _lines(
        f"Here I remember {count(exchanges)} since <t:{since}:D>{whose}.",
        f"That is roughly {tokens:,} tokens. With each question my model is sent at most {reminded:,} of them, the "
        "latest.",
        readers,
        f"{kept} /reset forgets all of it now, /forget-me whatever is yours, here and elsewhere.",
    )


def readers(provider: str, *, private: bool) -> str:
    """Who gets to read what is remembered."""
    if private:
        return f"It can be read by you, by my model's provider ({provider}) and by whoever runs me."
    return (
        f"It can be read by my model's provider ({provider}), by whoever runs me and, through my answers, by everyone "
        "who can see this channel."
    )


def exported(exchanges: int, *, here: bool, complete: bool) -> str:
    """What comes with the file."""
    where = "in this server" if here else "in all servers and direct messages"
    if complete:
        more = " In a direct message to me, /export gives you everything." if here else ""
        return f"This is all I have on record of you {where}: {count(exchanges)}.{more}"
    return (
        f"Discord takes no larger file, so these are only your latest {count(exchanges)} {where}. For the rest, please "
        "ask whoever runs me."
    )


def _of(people: Sequence[tuple[str | None, int]], more: int) -> str:
    named = ", ".join(f"{name or 'somebody'} {exchanges:,}" for name, exchanges in people)
    return f"{named} and {more:,} more people" if more > 1 else f"{named} and 1 more person" if more else named


def _days(days: int) -> str:
    return "a day" if days == 1 else f"{days:,} days"


def _lines(*sentences: str | None) -> str:
    return "\n".join(filter(None, sentences))
