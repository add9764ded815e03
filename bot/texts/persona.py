"""The sentences of /persona. A `place` is one of the labels in `channel_settings`."""

from __future__ import annotations

CHANGE, CLEAR = "Change", "Clear"
FORM = "How I behave here"
FIELD = "Persona"
FIELD_HELP = "What I'm told before every question. Leave it empty to clear it."
FIELD_EXAMPLE = "You are a patient teacher of Latin. You answer in two sentences and end with a question."

NOT_ALLOWED = "Only people who can manage this server can change how I behave here. /persona shows it to everyone."


def persona(place: str, *, inherited: bool) -> str:
    """The heading above a persona."""
    where = f"{place}, as in its channel" if inherited else place
    return f"**How I'm told to behave in {where}:**"


def no_persona(place: str) -> str:
    """The answer in a place without a persona."""
    return f"No persona is set for {place}; I use my default."


def persona_set(place: str) -> str:
    """The private answer to a new persona."""
    return f"Done. From the next question on I behave like that in {place}."


def persona_cleared(place: str, *, inherits: bool) -> str:
    """The private answer to a persona that was cleared."""
    used = "its channel's persona" if inherits else "my default"
    return f"Done. In {place} I use {used} again."


def persona_inherited(channel_id: int) -> str:
    """The answer to clearing a persona in a thread that only its channel has."""
    return f"This thread uses the persona of its channel. To clear that one, use /persona in <#{channel_id}>."


def persona_too_long(length: int, most: int) -> str:
    """The answer to a persona with too many characters."""
    return f"That is {length:,} characters long. {most:,} is the limit. Please shorten it."


def persona_changed(name: str) -> str:
    """The public notice that a persona was set or cleared."""
    return f"{name} changed how I behave here. /persona shows it."
