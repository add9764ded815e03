"""A server's list of its models: JSON of the OpenAI API, which may be anything at all."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date

import jiter

LONGEST_LIST = 8 * 2**20
"""Bytes of a list of models. A longer one is not read to its end."""
_FULLEST_LIST = 20_000
"""Objects and lists in a list of models. Decoding blocks the event loop for a microsecond for each of them."""
_MOST_VALUES = 400_000
"""Items of lists and objects in a list of models. Decoding takes up to a tenth of a microsecond for each."""
_FIRST_SHUTDOWN = date(2023, 1, 1)
"""Chat completions are newer than this, so an earlier date stands for no date."""


def listed_in(listing: bytes) -> Mapping[str, date | None]:
    """The models in a list, each with the day of its shutdown if that is given. Empty if it is none, or too full."""
    if listing.count(b"{") + listing.count(b"[") > _FULLEST_LIST or listing.count(b",") > _MOST_VALUES:
        return {}
    try:
        body = jiter.from_json(listing)
    except ValueError:
        return {}
    match body:
        case {"data": [*entries]}:
            listed = [entry for entry in entries if isinstance(entry, dict) and isinstance(entry.get("id"), str)]
            return {entry["id"]: _date(entry.get("shutdown_date")) for entry in listed}
    return {}


def _date(value: object) -> date | None:
    if not isinstance(value, str) or not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
        return None
    try:
        found = date.fromisoformat(value)
    except ValueError:
        return None
    return found if found >= _FIRST_SHUTDOWN else None
