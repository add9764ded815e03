"""A secret setting."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Secret:
    """A text that only `reveal` returns; `repr` and logs do not show it."""

    _value: str = field(repr=False)

    def __repr__(self) -> str:
        return "Secret(…)"

    def reveal(self) -> str:
        return self._value
