"""The values of settings that are more than a text or a number: secrets, addresses, and where values come from."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address


@dataclass(frozen=True, slots=True)
class Secret:
    """A text that only `reveal` returns; `repr` and logs do not show it."""

    _value: str = field(repr=False)

    def __repr__(self) -> str:
        return "Secret(…)"

    def reveal(self) -> str:
        return self._value


@dataclass(frozen=True, slots=True)
class ListenAddress:
    """Where a server listens: an IP address of this computer, and a port."""

    host: str
    port: int

    @property
    def is_loopback(self) -> bool:
        """Whether only this computer reaches it."""
        return ip_address(self.host).is_loopback

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Origins:
    """Where the values of settings come from. The environment wins over `.env`."""

    environment: frozenset[str] = frozenset()
    """The names of the settings that are set in the environment."""

    def place_of(self, setting: str) -> str:
        """Where a setting is changed, also one that is not set."""
        return "the environment" if setting in self.environment else ".env"
