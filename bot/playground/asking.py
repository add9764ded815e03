"""Requests from a tab. This module checks the shape of everything that a page sends."""

from __future__ import annotations

import json
from typing import Any, TypeVar

from bot.texts import playground as words

_T = TypeVar("_T")


class Declined(Exception):
    """A request that is not carried out. The exception carries the sentence that tells the person why."""


class Malformed(Exception):
    """A frame that the playground's own page never sends."""


class Ask:
    """One request of a tab. The getters raise Declined if a value is missing or has the wrong type."""

    def __init__(self, body: dict[str, Any]) -> None:
        self._body = body
        number = body.get("n")
        self.number = number if isinstance(number, int) else None
        self.do = self.text("do")

    @classmethod
    def parse(cls, frame: str) -> Ask:
        try:
            body = _mended(json.loads(frame))
        except (ValueError, RecursionError):
            raise Malformed from None
        if not isinstance(body, dict) or not isinstance(body.get("do"), str):
            raise Malformed
        return cls(body)

    def text(self, name: str) -> str:
        return _expect(self._body.get(name), str)

    def flag(self, name: str) -> bool:
        return _expect(self._body.get(name), bool)

    def id(self, name: str) -> int:
        return snowflake(self.text(name))

    def id_or_none(self, name: str) -> int | None:
        return None if self._body.get(name) is None else self.id(name)

    def texts(self, name: str) -> list[str]:
        return [_expect(each, str) for each in _expect(self._body.get(name), list)]

    def table(self, name: str) -> dict[str, str]:
        found = _expect(self._body.get(name), dict)
        return {key: _expect(value, str) for key, value in found.items()}


def snowflake(text: str) -> int:
    """Return the id that a string of digits spells."""
    if not (text.isascii() and text.isdigit() and len(text) <= 20):
        raise Declined(words.MALFORMED)
    return int(text)


def _expect(value: object, kind: type[_T]) -> _T:
    if not isinstance(value, kind):
        raise Declined(words.MALFORMED)
    return value


def _mended(value: Any) -> Any:
    """Replace lone surrogates in a JSON value.

    JSON can spell them, but neither UTF-8 nor the database can store them.
    """
    match value:
        case str():
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case list():
            return [_mended(each) for each in value]
        case dict():
            return {_mended(key): _mended(each) for key, each in value.items()}
    return value
