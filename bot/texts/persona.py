"""What is said of how the bot behaves in a place, and which model answers there. `place` is one of the words below."""

from __future__ import annotations

from collections.abc import Sequence

CHANNEL, THREAD, DIRECT = "this channel", "this thread", "this chat"

CHANGE, CLEAR = "Change", "Clear"
FORM = "How I behave here"
FIELD = "Persona"
FIELD_HELP = "What I'm told before every question. Leave it empty to clear it."
FIELD_EXAMPLE = "You are a patient teacher of Latin. You answer in two sentences and end with a question."

AS_BEFORE = "That's how it was already."
NOT_ALLOWED = "Only those who manage this server can change how I behave here. /persona shows it to everybody."
NOT_CHANGED = "I can't save right now, so nothing is changed. Please try again later."

_LIST_LENGTH = 1000
"""Characters of names of models."""
_NAME_LENGTH = 100


def persona(place: str, *, inherited: bool) -> str:
    """What stands above a persona."""
    where = f"{place}, as in its channel" if inherited else place
    return f"**How I'm told to behave in {where}:**"


def no_persona(place: str) -> str:
    """Where there is none."""
    return f"Nobody has told me how to behave in {place}, so I'm as I am everywhere."


def persona_set(place: str) -> str:
    """The private word on a new persona."""
    return f"Done. From the next question on I behave like that in {place}."


def persona_cleared(place: str, *, inherits: bool) -> str:
    """The private word on a persona that is no more."""
    return f"Done. In {place} I'm as I am {'in its channel' if inherits else 'everywhere'} again."


def persona_inherited(channel_id: int) -> str:
    """The answer to whoever clears in a thread what only its channel has."""
    return f"This thread has nothing of its own to clear: what holds is its channel's. Use /persona in <#{channel_id}>."


def persona_too_long(length: int, most: int) -> str:
    """The answer to a persona with too many characters."""
    return f"That is {length:,} characters long, and {most:,} are the most I can take. Please shorten it."


def persona_changed(name: str) -> str:
    """The public word on a persona that was set or cleared."""
    return f"{name} changed how I behave here. /persona shows it."


def model(place: str, name: str, offered: Sequence[str], *, inherited: bool, gone: str | None) -> str:
    """Which model answers, and what else there is. `gone` was chosen, but is not offered any more."""
    lines = [f"{_named(name)} answers in {place}{', as in its channel' if inherited else ''}."]
    if gone is not None:
        lines.insert(0, f"{_named(gone)} was chosen here, but I'm not offered it any more.")
    if len(offered) == 1:
        lines.append("It's the only one I have, so there is nothing to choose.")
    else:
        lines.append(f"You can choose from {_listed(offered)}, or `default`.")
    return "\n".join(lines)


def unknown_model(typed: str, offered: Sequence[str]) -> str:
    """The answer to a name that none of the models has. `typed` means nothing but itself."""
    return f"I have no model called “{typed}”. You can choose from {_listed(offered)}, or `default`."


def model_changed(name: str, chosen: str) -> str:
    """The public word on a model that somebody chose."""
    return f"{name} chose {_named(chosen)} to answer here from now on."


def default_model(answering: str, *, inherits: bool) -> str:
    """What a person can choose to take a choice back."""
    return f"default ({'as in the channel' if inherits else 'as everywhere'}: {answering})"


def _listed(models: Sequence[str]) -> str:
    listed = _named(models[0])
    for count, each in enumerate(models[1:], 1):
        longer = f"{listed}, {_named(each)}"
        if len(longer) > _LIST_LENGTH:
            return f"{listed} and {len(models) - count} more"
        listed = longer
    return listed


def _named(model: str) -> str:
    return f"`{model if len(model) <= _NAME_LENGTH else f'{model[: _NAME_LENGTH - 1]}…'}`"
