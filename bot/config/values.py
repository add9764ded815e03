"""A secret setting."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Secret:
    """A text that shows itself only to those who ask for it by `reveal`."""

    _value: str = field(repr=False)

    def __repr__(self) -> str:
        return "Secret(…)"

    def reveal(self) -> str:
        return self._value
