from __future__ import annotations

from typing import Any

import pytest

from bot.playground import forms
from bot.playground.asking import Declined
from bot.standin.entities import Channel, Guild, Json, Message, User
from bot.standin.interactions import Interaction, Kind

BO = User(1, "bo")
CHANNEL = Channel(2, "general", None)


def option(kind: str, **more: Any) -> list[Json]:
    usual = {"required": False, "choices": None, "completes": False, "min": None, "max": None}
    return [{"name": "it", "type": kind, **usual, **more}]


def given(listed: list[Json], text: str) -> object:
    return forms.options(listed, {"it": text}, lambda kind, id_: (kind, id_))["it"]


def test_options_get_their_types() -> None:
    assert given(option("integer"), "-7") == -7
    assert given(option("number"), "2.5") == 2.5
    assert given(option("boolean"), "false") is False
    assert given(option("string"), "7") == "7"
    assert given(option("user"), "1") == ("user", "1")
    assert forms.options(option("string"), {}, lambda kind, id_: None) == {}


@pytest.mark.parametrize(
    ("listed", "text"),
    [
        (option("integer"), "x"),
        (option("integer", min=1, max=5), "6"),
        (option("integer"), "9" * 5000),
        (option("number"), "nan"),
        (option("number"), "inf"),
        (option("boolean"), "yes"),
        (option("string", min=3), "ab"),
        (option("string", max=1), "ab"),
        (option("string", choices=[{"name": "Tea", "value": "tea"}]), "coffee"),
    ],
)
def test_invalid_option_is_declined(listed: list[Json], text: str) -> None:
    with pytest.raises(Declined, match=r"^it does not accept this value\.$"):
        given(listed, text)


def test_required_option_must_be_given() -> None:
    with pytest.raises(Declined, match=r"^it is required\.$"):
        forms.options(option("string", required=True), {}, lambda kind, id_: None)


def test_partial_text_is_sent_but_no_partial_number() -> None:
    listed = [*option("integer"), *({**each, "name": "by"} for each in option("string", min=3, completes=True))]
    assert forms.typed(listed, {"it": "-", "by": "a"}) == {"by": "a"}
    assert forms.typed(listed, {"it": "-7", "by": ""}) == {"it": -7}
    with pytest.raises(Declined):
        forms.typed(listed, {"color": "red"})


def test_form_is_shown_and_filled_as_defined() -> None:
    row = {"type": 1, "components": [{"type": 4, "custom_id": "a", "label": "Name", "style": 1, "max_length": 5}]}
    label = {
        "type": 18,
        "label": "Why",
        "description": "If you like",
        "component": {"type": 4, "custom_id": "b", "style": 2, "required": False},
    }
    form = Interaction(3, "t", Kind.COMMAND, BO, CHANNEL, {}, 0.0, None, None, lambda _, __: NotImplemented)
    form.modal = {"custom_id": "f", "title": "Tell", "components": [row, label]}
    shown = forms.shown(form)
    assert (shown["form"], shown["title"]) == ("3", "Tell")
    asked = [(each["id"], each["label"], each["note"], each["long"], each["required"]) for each in shown["inputs"]]
    assert asked == [("a", "Name", "", False, True), ("b", "Why", "If you like", True, False)]
    assert forms.filled(form, {"a": "Bo", "other": "x"}) == {"a": "Bo", "b": ""}
    for fields in ({}, {"a": ""}, {"a": "too long"}):
        with pytest.raises(Declined, match=r"^Name does not accept this value\.$"):
            forms.filled(form, fields)


def test_only_offered_menu_items_can_be_chosen() -> None:
    menu = {"type": 3, "custom_id": "m", "max_values": 2, "options": [{"label": x, "value": x} for x in "abc"]}
    message = Message(4, CHANNEL, BO, "", 0.0, components=[{"type": 1, "components": [menu]}])
    assert forms.chosen(message, "m", ["a", "c"], ()) == ["a", "c"]
    for values in ([], ["a", "b", "c"], ["d"], ["a", "a"]):
        with pytest.raises(Declined):
            forms.chosen(message, "m", values, ())


def test_channel_menus_offer_what_the_person_sees_of_their_kinds() -> None:
    menu = {"type": 8, "custom_id": "m", "channel_types": [0]}
    here = Channel(5, "here", Guild(6, "Harbour", BO))
    message = Message(4, here, BO, "", 0.0, components=[{"type": 1, "components": [menu]}])
    assert forms.chosen(message, "m", ["5"], [here, CHANNEL]) == ["5"]
    unseen: list[tuple[str, list[Channel]]] = [("5", []), ("1", [here]), (str(CHANNEL.id), [CHANNEL])]
    for value, seen in unseen:
        with pytest.raises(Declined):
            forms.chosen(message, "m", [value], seen)
