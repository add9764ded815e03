"""What a setting can be beside a text, a number or a path."""

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


@dataclass(frozen=True, slots=True)
class Servers:
    """Which servers are served: those that the application's owner is in, those with these ids, or all."""

    owner: bool = False
    ids: frozenset[int] = frozenset()
    any: bool = False


@dataclass(frozen=True, slots=True)
class Price:
    """What a million tokens cost, in the operator's currency."""

    prompt: float
    reply: float
