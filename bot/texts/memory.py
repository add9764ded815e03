"""The sentences of /memory on notes, summaries and searches, and what the model is told about notes."""

from __future__ import annotations

from datetime import UTC, datetime

from bot.texts.privacy import days

TOLD_TO_MODEL = (
    "You remember this conversation only as far as it is shown to you. If someone wants you to remember something "
    "about them, say that they can add a note with the command /memory. Never promise to remember anything yourself."
)

ADD = "Add a note"
FORM = "A note about you"
FIELD = "Note"
FIELD_EXAMPLE = "Call me Kim. I'm vegan."
BLANK = "The note is empty. Write something in it."
KNOWN = "You already have this note."
DELETED = "Deleted."
GONE = "This note is already deleted."
ALSO_SENT = "The model also gets my persona or standard instructions, today's date and your notes."


def delete(number: int) -> str:
    """The label of the button that deletes the note of this number."""
    return f"Delete {number}"


def field_help(*, private: bool) -> str:
    """What the form says under its field."""
    return f"The model gets it with each question you ask {_where(private=private)}."


def notes(characters: int, most: int, retention_days: int, *, private: bool) -> str:
    """The heading above somebody's notes. `retention_days` are those after which they go unused; 0 means never."""
    where = _where(private=private)
    return (
        f"**Your notes {where}** ({characters:,} of {most:,} characters). The model gets them with each of your "
        "questions here. Only you can see and delete them. /reset keeps them, /forget-me deletes them."
        + (f" I delete them if you ask nothing here for {days(retention_days)}." if retention_days else "")
    )


def no_notes(*, private: bool) -> str:
    """The answer to somebody without notes."""
    return (
        f'You have no notes {_where(private=private)}. Add one, like "call me Kim" or "I\'m vegan": the model gets it '
        "with each of your questions here."
    )


def added(*, private: bool) -> str:
    """The answer to a new note."""
    if private:
        return "Saved."
    return "Saved. My answers in this server are public: everyone in the channel sees what they say about you."


def full(characters: int, notes: int) -> str:
    """The answer to a note that is too much."""
    most = f"{notes} notes with {characters:,} characters in total"
    return f"That's too much. You can have {most}. Delete a note or shorten this one."


def cached(sent: int, cached: int) -> str:
    """How much of what was sent with the last questions the provider had in its cache, in tokens."""
    return f"Of the {sent:,} tokens sent with the last questions here, {cached:,} came from the provider's cache."


def _where(*, private: bool) -> str:
    return "in this chat" if private else "in this server"


REMAKE = "Make new summaries"
SUMMARIES_FILE = "summaries.txt"
NOT_YOURS_TO_REMAKE = "Only moderators can have new summaries made."
NOTHING_TO_SUMMARIZE = "There is nothing to summarize here."
_UNTIL_DONE = "Until they are done, my model gets only the latest messages here."
REMAKING = f"I'm making new summaries, at most one a minute. {_UNTIL_DONE}"


def summaries(due: int, failed: int, *, any_made: bool) -> str:
    """The heading above the summaries of a place, with how many are still to come and how many could not be made."""
    if due and not any_made and not failed:
        return f"I'm making summaries of {_parts(due)} of this conversation, at most one a minute. {_UNTIL_DONE}"
    sentences = []
    if any_made:
        sentences.append(
            "**Summaries of older messages here.** A model wrote them, and they may be wrong. My model gets the latest "
            "of them with each question, in place of messages that no longer fit."
        )
    if due:
        sentences.append(f"I'm still summarizing {_parts(due)} of this conversation.")
    if failed:
        sentences.append(f"{_parts(failed)} of this conversation could not be summarized: my model gets none of it.")
    return " ".join(sentences)


def period(since: int, until: int) -> str:
    """The time of what was summarized, in UTC. Both are in seconds since the epoch."""
    first, last = (f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M}" for at in (since, until))
    day = first.partition(" ")[0]
    return f"{first} UTC" if first == last else f"{first} to {last.removeprefix(f'{day} ')} UTC"


def _parts(number: int) -> str:
    return "1 older part" if number == 1 else f"{number:,} older parts"


OLDER, NEWER = "Older", "Newer"
YOU = "You"
NO_SEARCH = "You can't read this channel's history, so you can't search it."
NO_WORDS = "Type a word to search for."
SEARCHING = "I'm still searching for you. Try again in a moment."


def found(query: str) -> str:
    """The heading above what a search found."""
    return f"**Search for** {query}"


def nothing_found(query: str) -> str:
    """The heading of a search that found nothing."""
    return f"**Nothing found for** {query}"


def searched_older(looked_at: int | None, *, ended: bool) -> str:
    """How far back a search has looked. `looked_at` is in seconds since the epoch, or None if there was nothing."""
    if looked_at is None:
        return "-# I remember nothing older here."
    if ended:
        return f"-# That's all: I searched back to <t:{looked_at}:f>, the first I remember here."
    return f"-# I searched back to <t:{looked_at}:f>. Press {OLDER} to search further."


def searched_newer(looked_at: int | None, *, ended: bool) -> str:
    """How far a search for newer turns has looked."""
    if ended or looked_at is None:
        return "-# I searched up to the newest I remember here."
    return f"-# I searched up to <t:{looked_at}:f>. Press {NEWER} to search further."


def asked(at: int, name: str, link: str | None) -> str:
    """The beginning of a line with a question, asked at a time in seconds since the epoch. None: no message has it."""
    return f"<t:{at}:d> **{name}** {'asked' if link is None else f'[asked]({link})'}:"


def answered(link: str | None) -> str:
    """The beginning of a line with an answer. None: no message shows it any more."""
    return "I answered:" if link is None else f"I [answered]({link}):"
