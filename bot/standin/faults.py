"""Faults on demand for requests and gateway events.

discord.faults.add(ServerError(502), method="PATCH", times=2)
discord.faults.add(Twice(), event="MESSAGE_CREATE")
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from bot.standin.errors import ApiError


@dataclass(frozen=True, slots=True)
class Call:
    """A request that faults are matched against. `route` is a template such as `/channels/{channel_id}/messages`."""

    method: str
    route: str
    channel_id: int | None
    body: object
    guild_id: int | None = None


@dataclass(frozen=True, slots=True)
class RateLimited:
    """Error 429. Without `via` it looks like a Cloudflare ban, and discord.py raises an exception at once."""

    retry_after: float = 0.1
    scope: Literal["user", "global", "shared"] = "user"
    via: bool = True


@dataclass(frozen=True, slots=True)
class ServerError:
    """An error page from a proxy. With `applied` the request takes effect, and only its answer is lost."""

    status: int = 500
    applied: bool = False


@dataclass(frozen=True, slots=True)
class ConnectionReset:
    """The connection is reset in the middle of the request, before or after it takes effect."""

    applied: bool = False


@dataclass(frozen=True, slots=True)
class Slow:
    """The answer takes `seconds` longer; the request takes effect before or after that time."""

    seconds: float
    applied: bool = False


@dataclass(frozen=True, slots=True)
class Refused:
    """Discord's refusal of an otherwise good request."""

    status: int
    code: int
    message: str

    def error(self) -> ApiError:
        return ApiError(self.status, self.code, self.message)


@dataclass(frozen=True, slots=True)
class Answered:
    """The request does not take effect, and its answer is this body, whatever it says."""

    status: int
    body: bytes
    content_type: str = "application/json"


@dataclass(frozen=True, slots=True)
class Garbled:
    """The request takes effect, and `garble` makes another body of its answer's."""

    garble: Callable[[Any], Any]


FORBIDDEN = Refused(403, 50013, "Missing Permissions")
AUTOMOD = Refused(400, 200000, "Message was blocked by automatic moderation")


@dataclass(frozen=True, slots=True)
class Vanished:
    """The message or the channel that the request is about is deleted just before it arrives."""

    what: Literal["message", "channel"]


RestAction = RateLimited | ServerError | ConnectionReset | Slow | Refused | Answered | Garbled | Vanished


@dataclass(frozen=True, slots=True)
class Redirected:
    """The address of a file leads to another one."""

    to: str


@dataclass(frozen=True, slots=True)
class Endless:
    """A file goes on for ever, with `pause` seconds between its pieces of so many bytes. All are the same `byte`."""

    piece: int = 64 * 1024
    pause: float = 0.0
    byte: bytes = b"."


@dataclass(frozen=True, slots=True)
class BrokenOff:
    """A file ends in its middle, with its connection."""


DownloadAction = ServerError | Slow | Answered | Redirected | Endless | BrokenOff
DOWNLOAD = "/cdn/attachments"
"""The route of downloads."""


@dataclass(frozen=True, slots=True)
class Twice:
    """The event is dispatched a second time, with a sequence number of its own."""


@dataclass(frozen=True, slots=True)
class Late:
    """The event is dispatched after `seconds`. Later events can arrive before it."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Lost:
    """The event never arrives."""


EventAction = Twice | Late | Lost


@dataclass
class Fault:
    """An armed fault. `left` counts the remaining uses, and `hits` counts the past uses."""

    action: RestAction | EventAction | DownloadAction
    matches: Callable[[Call | str], bool]
    left: float
    hits: int = 0

    def take(self) -> None:
        self.left -= 1
        self.hits += 1


class Faults:
    """The armed faults in the order they were added. The first fault that matches is used."""

    def __init__(self) -> None:
        self._waiting: list[Fault] = []
        self._missed: list[Fault] = []

    @property
    def never_struck(self) -> list[Fault]:
        """Return the armed faults that no request or event has met. Faults that were cleared are included."""
        return [*self._missed, *(fault for fault in self._waiting if not fault.hits)]

    def add(
        self,
        action: RestAction | EventAction | DownloadAction,
        *,
        event: str | None = None,
        method: str | None = None,
        route: str | None = None,
        channel_id: int | None = None,
        when: Callable[[Call], bool] | None = None,
        times: float = 1,
    ) -> Fault:
        """Arm a fault for the next `times` matching requests or gateway events. `math.inf` means every match."""

        def matches(what: Call | str) -> bool:
            if isinstance(what, str):
                return what == event
            return (
                event is None
                and method in (None, what.method)
                and route in (None, what.route)
                and channel_id in (None, what.channel_id)
                and (when is None or when(what))
            )

        if (route == DOWNLOAD) < isinstance(action, Redirected | Endless | BrokenOff):
            raise ValueError(f"{action} needs route=DOWNLOAD")
        if (event is not None) != isinstance(action, EventAction):
            raise ValueError(f"{action} needs {'a request' if event else 'an event='}")
        fault = Fault(action, matches, times)
        self._waiting.append(fault)
        return fault

    def clear(self) -> None:
        self._missed = self.never_struck
        self._waiting.clear()

    def for_request(self, call: Call) -> RestAction | None:
        action = self._take(call)
        return action if isinstance(action, RestAction) else None

    def for_download(self, channel_id: int) -> DownloadAction | None:
        action = self._take(Call("GET", DOWNLOAD, channel_id, None))
        return action if isinstance(action, DownloadAction) else None

    def for_event(self, name: str) -> EventAction | None:
        action = self._take(name)
        return action if isinstance(action, EventAction) else None

    def _take(self, what: Call | str) -> RestAction | EventAction | DownloadAction | None:
        for fault in self._waiting:
            if fault.matches(what):
                fault.take()
                if fault.left <= 0:
                    self._waiting.remove(fault)
                return fault.action
        return None


ALWAYS = math.inf
