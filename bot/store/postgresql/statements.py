"""The store's SQL as PostgreSQL takes it: numbered parameters of known types, and no hints for SQLite."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache

from bot.store.engine import Value, Values
from bot.store.postgresql.pipeline import Bound

_SURROGATE_OR_NUL = re.compile("[\ud800-\udfff\0]")
_TOKEN = re.compile(
    r"""
    (?P<kept> '[^']*' | --[^\n]* | :: )
    | (?P<hint> \ INDEXED\ BY\ \w+ )
    | (?P<place> \? )
    | :(?P<name> [a-z_]+ )
    """,
    re.VERBOSE,
)
_TYPES = {
    name: sql_type
    for sql_type, names in {
        "bytea": "texts",
        "double precision": "bytes picture_ratio",
        "text": """
            answered_by asked_in carried carried_questions channel delivery_error display_name expected facts failure
            guilds holder host ids key line messages model names nonce parent passed_over persona pictures ping places
            platform prefix process prompt_text purpose reply_text said server shards sources state text text_before
            turns unquoted user_name users without_mention
            """,
    }.items()
    for name in names.split()
}
"""The types of the parameters that are no whole numbers, by name: a NULL does not show its own."""

_OTHERS: dict[str, type | tuple[type, ...]] = {"bytea": bytes, "double precision": (int, float)}


def storable(text: str) -> str:
    """A lone surrogate and a NUL, of which PostgreSQL's texts hold neither, become U+FFFD."""
    return text if text.isascii() and "\0" not in text else _SURROGATE_OR_NUL.sub("\ufffd", text)


@lru_cache(maxsize=2048)
def _translated(sql: str, types: Sequence[str]) -> tuple[str, Sequence[tuple[str, str]]]:
    """SQL with `$1` in place of `:name` or `?`, and the names of the parameters with their types, in their order.

    `types` are those of the parameters without a name.
    """
    places: dict[str, int] = {}
    unnamed = iter(enumerate(types, 1))

    def replaced(token: re.Match[str]) -> str:
        if token["kept"]:
            return token["kept"]
        if token["hint"]:
            return ""
        if token["place"]:
            return "${}::{}".format(*next(unnamed))
        place = places.setdefault(token["name"], len(places) + 1)
        return f"${place}::{_type_of(token['name'])}"

    return _TOKEN.sub(replaced, sql), tuple((name, _type_of(name)) for name in places)


def _type_of(name: str) -> str:
    return _TYPES.get(name, "bigint")


def bound(sql: str, values: Values) -> Bound:
    """SQL and its parameters as the driver takes them. Raises TypeError where a parameter is of another type.

    A parameter without a name is a text or a whole number, and not NULL.
    """
    if isinstance(values, Mapping):
        text, names = _translated(sql, ())
        return text, [_bindable(name, sql_type, values[name]) for name, sql_type in names]
    types = tuple("text" if isinstance(value, str) else "bigint" for value in values)
    text, _ = _translated(sql, types)
    return text, [_bindable("?", sql_type, value) for sql_type, value in zip(types, values, strict=True)]


def _bindable(name: str, sql_type: str, value: Value) -> Value:
    if value is None or (type(value) is int and sql_type == "bigint"):
        return value
    if isinstance(value, str):
        if sql_type != "text":
            raise TypeError(f"{name} is a text, and not among the parameters that are")
        return storable(str(value))
    if isinstance(value, int) and sql_type == "bigint":
        return int(value)
    if isinstance(value, _OTHERS.get(sql_type, ())):
        return value
    raise TypeError(f"{name} is no {sql_type}")
