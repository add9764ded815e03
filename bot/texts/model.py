"""The sentences of /model. A `place` is one of the labels in `channel_settings`."""

from __future__ import annotations

from collections.abc import Sequence

_MAX_LIST_LENGTH = 1000
"""Characters of a list of models."""
_MAX_NAME_LENGTH = 100
"""Characters of a model's name in a sentence."""


def model(place: str, name: str, offered: Sequence[str], *, inherited: bool, gone: str | None) -> str:
    """The model that answers in a place, and the other models. `gone` was chosen but is no longer offered."""
    lines = [f"{_named(name)} answers in {place}{', as in its channel' if inherited else ''}."]
    if gone is not None:
        lines.insert(0, f"{_named(gone)} was chosen here, but it's no longer available.")
    if len(offered) == 1:
        lines.append("It's the only one I have, so there is nothing to choose.")
    else:
        lines.append(f"You can choose from {_listed(offered)}, or `default`.")
    return "\n".join(lines)


def unknown_model(typed: str, offered: Sequence[str]) -> str:
    """The answer to a name that no model has. `typed` is escaped."""
    return f"I have no model called “{typed}”. You can choose from {_listed(offered)}, or `default`."


def model_changed(name: str, chosen: str) -> str:
    """The public notice that somebody chose a model."""
    return f"{name} chose {_named(chosen)} to answer here from now on."


def default_model(answering: str, *, inherits: bool) -> str:
    """The label of the option that takes a choice back."""
    return f"default ({'as in the channel' if inherits else 'as everywhere'}: {answering})"


def _listed(models: Sequence[str]) -> str:
    listed = _named(models[0])
    for count, each in enumerate(models[1:], 1):
        longer = f"{listed}, {_named(each)}"
        if len(longer) > _MAX_LIST_LENGTH:
            return f"{listed} and {len(models) - count} more"
        listed = longer
    return listed


def _named(model: str) -> str:
    return f"`{model if len(model) <= _MAX_NAME_LENGTH else f'{model[: _MAX_NAME_LENGTH - 1]}…'}`"
