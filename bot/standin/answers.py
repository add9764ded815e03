"""Checks of the answers to an interaction that are not messages: autocomplete choices and forms.

https://discord.com/developers/docs/interactions/receiving-and-responding and .../components/reference
"""

from __future__ import annotations

from typing import Any

from bot.standin.commands import check_choices
from bot.standin.entities import Json
from bot.standin.errors import invalid_form
from bot.standin.rules import REQUIRED, Problems, bad_length, too_long

ROW, TEXT_INPUT, TEXT_DISPLAY, LABEL = 1, 4, 10, 18
PARAGRAPH = 2
LONGEST_INPUT = 4000

_IN_LABELS = {3, 4, 5, 6, 7, 8, 19, 21, 22, 23}
_STYLES = {1, PARAGRAPH}


def check_offer(choices: Any, kind: int) -> None:
    """Check the autocomplete choices for an option of type `kind`."""
    if not isinstance(choices, list):
        raise invalid_form({"data.choices": REQUIRED})
    problems: Problems = {}
    check_choices(choices, kind, "data.choices", problems)
    if problems:
        raise invalid_form(problems)


def check_form(form: Json) -> None:
    """Check a form. A form needs a title and one to five components: labels, texts, or rows with one input each."""
    problems: Problems = {}
    if not 1 <= len(form.get("title") or "") <= 45:
        problems["data.title"] = bad_length(1, 45)
    if not 1 <= len(form.get("custom_id") or "") <= 100:
        problems["data.custom_id"] = bad_length(1, 100)
    components = form.get("components") or []
    if not 1 <= len(components) <= 5:
        problems["data.components"] = bad_length(1, 5)
    seen: set[str] = set()
    for index, component in enumerate(components):
        path = f"data.components.{index}"
        kind = component.get("type")
        if kind == ROW and len(inside := component.get("components") or []) == 1:
            _check_label(inside[0], f"{path}.components.0", problems)
            _check_input(inside[0], f"{path}.components.0", {TEXT_INPUT}, seen, problems)
        elif kind == ROW:
            problems[f"{path}.components"] = bad_length(1, 1)
        elif kind == LABEL:
            _check_label(component, path, problems)
            if len(component.get("description") or "") > 100:
                problems[f"{path}.description"] = too_long(100)
            _check_input(component.get("component") or {}, f"{path}.component", _IN_LABELS, seen, problems)
        elif kind != TEXT_DISPLAY:
            problems[f"{path}.type"] = ("UNION_TYPE_CHOICES", "Value of field must be one of (1, 10, 18).")
    if problems:
        raise invalid_form(problems)


def _check_label(labelled: Json, path: str, problems: Problems) -> None:
    if not 1 <= len(labelled.get("label") or "") <= 45:
        problems[f"{path}.label"] = bad_length(1, 45)


def _check_input(it: Json, path: str, kinds: set[int], seen: set[str], problems: Problems) -> None:
    custom_id = it.get("custom_id") or ""
    if it.get("type") not in kinds:
        problems[f"{path}.type"] = ("UNION_TYPE_CHOICES", f"Value of field must be one of {tuple(sorted(kinds))}.")
        return
    if not 1 <= len(custom_id) <= 100:
        problems[f"{path}.custom_id"] = bad_length(1, 100)
    elif custom_id in seen:
        problems[f"{path}.custom_id"] = ("COMPONENT_CUSTOM_ID_DUPLICATED", "Component custom id cannot be duplicated")
    seen.add(custom_id)
    if it["type"] != TEXT_INPUT:
        return
    least, most = it.get("min_length") or 0, it.get("max_length") or LONGEST_INPUT
    if it.get("style") not in _STYLES:
        problems[f"{path}.style"] = ("BASE_TYPE_CHOICES", "Value must be one of {1, 2}.")
    if not 0 <= least <= LONGEST_INPUT:
        problems[f"{path}.min_length"] = ("NUMBER_TYPE_COERCE", f"Must be between 0 and {LONGEST_INPUT}.")
    if not max(1, least) <= most <= LONGEST_INPUT:
        problems[f"{path}.max_length"] = ("NUMBER_TYPE_COERCE", f"Must be between {max(1, least)} and {LONGEST_INPUT}.")
    if len(it.get("value") or "") > LONGEST_INPUT:
        problems[f"{path}.value"] = too_long(LONGEST_INPUT)
    if len(it.get("placeholder") or "") > 100:
        problems[f"{path}.placeholder"] = too_long(100)
