"""Command options, select menus and forms: their JSON for the page and the checks on what the page sends back."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from bot.playground.asking import Declined
from bot.standin.answers import LONGEST_INPUT, PARAGRAPH, TEXT_INPUT
from bot.standin.entities import Channel, Json, Message, walk_components
from bot.standin.interactions import Interaction
from bot.texts import playground as words

_STRING_SELECT, CHANNEL_SELECT = 3, 8


def options(listed: list[Json], given: dict[str, str], resolve: Callable[[str, str], object]) -> dict[str, object]:
    """Return a command's option values by their types. `resolve(kind, id)` finds the object that an id names."""
    known = {option["name"]: option for option in listed}
    if missing := [name for name, option in known.items() if option["required"] and name not in given]:
        raise Declined(words.option_missing(missing[0]))
    if given.keys() - known.keys():
        raise Declined(words.MALFORMED)
    return {name: _value(known[name], text, resolve) for name, text in given.items()}


def typed(listed: list[Json], given: dict[str, str]) -> dict[str, object]:
    """Return the option values of a command that is still being typed. An incomplete number is left out."""
    if given.keys() - {option["name"] for option in listed}:
        raise Declined(words.MALFORMED)
    filled: dict[str, object] = {}
    for option in listed:
        if text := given.get(option["name"]):
            try:
                filled[option["name"]] = text if option["completes"] else _value(option, text, lambda _, id_: id_)
            except Declined:
                continue
    return filled


def _value(option: Json, text: str, resolve: Callable[[str, str], object]) -> object:
    least, most = option["min"], option["max"]
    value: object
    match option["type"]:
        case "integer" | "number" as kind:
            try:
                number = int(text) if kind == "integer" else float(text)
            except ValueError:
                raise Declined(words.option_wrong(option["name"])) from None
            # The comparison is written so that "not a number" fails it.
            fits = abs(number) <= 2**53 and (least is None or number >= least) and (most is None or number <= most)
            value = number
        case "boolean":
            fits, value = text in ("true", "false"), text == "true"
        case "string":
            fits = (least or 0) <= len(text) <= (most or 6_000)
            value = text
        case kind:
            fits, value = True, resolve(kind, text)
    if not fits or (option["choices"] and value not in [choice["value"] for choice in option["choices"]]):
        raise Declined(words.option_wrong(option["name"]))
    return value


def offered(menu: Json, channels: Iterable[Channel]) -> list[Json]:
    """Return the options of a select menu. One for channels offers those of `channels` that are of its types."""
    if menu["type"] != CHANNEL_SELECT:
        return list(menu.get("options") or ())
    kinds = menu.get("channel_types") or ()
    return [{"label": each.name, "value": str(each.id)} for each in channels if each.guild and each.type in kinds]


def chosen(message: Message, custom_id: str, values: list[str], channels: Iterable[Channel]) -> list[str]:
    """Return the chosen values if the select menu allows them. `channels` are those that the person sees."""
    for part in walk_components(message.components):
        if part.get("custom_id") == custom_id and part["type"] in (_STRING_SELECT, CHANNEL_SELECT):
            known = {option["value"] for option in offered(part, channels)}
            least, most = part.get("min_values", 1), part.get("max_values", 1)
            if set(values) <= known and least <= len(set(values)) == len(values) <= most:
                return values
    raise Declined(words.NOT_THERE)


def shown(form: Interaction) -> Json:
    """Return the frame that opens a form on the page."""
    modal = form.modal or {}
    return {
        "t": "modal",
        "form": str(form.id),
        "title": modal.get("title") or "",
        "inputs": [
            {
                "id": part["custom_id"],
                "label": label,
                "note": note,
                "long": part.get("style") == PARAGRAPH,
                "value": part.get("value") or "",
                "placeholder": part.get("placeholder") or "",
                "required": part.get("required") is not False,
                "min": part.get("min_length") or 0,
                "max": part.get("max_length") or LONGEST_INPUT,
            }
            for label, note, part in _inputs(form)
        ],
    }


def filled(form: Interaction, fields: dict[str, str]) -> dict[str, str]:
    """Return the values of a form's fields if each value meets the field's rules."""
    kept = {}
    for label, _, part in _inputs(form):
        text = fields.get(part["custom_id"], part.get("value") or "")
        required = part.get("required") is not False
        least, most = max(part.get("min_length") or 0, required), part.get("max_length") or LONGEST_INPUT
        if len(text) > most or (len(text) < least and (text or required)):
            raise Declined(words.option_wrong(label))
        kept[part["custom_id"]] = text
    return kept


def _inputs(form: Interaction) -> list[tuple[str, str, Json]]:
    """Return a form's text inputs with their labels and notes.

    A label may belong to the input or to the component around it.
    """
    return [
        (part.get("label") or outer.get("label") or "", outer.get("description") or "", part)
        for outer in (form.modal or {}).get("components") or ()
        for part in (outer.get("component"), *(outer.get("components") or ()))
        if part is not None and part.get("type") == TEXT_INPUT
    ]
