"""The framing of a model server's answer: from bytes to JSON values, whatever the answer's label says. No IO.

An answer is a stream of server-sent events, or JSON by itself, or a web page. Its first bytes tell which. The limits
here keep memory and CPU time bounded, whatever a server sends.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from enum import Enum, auto
from typing import Any

import jiter

LONGEST = 2**20
"""Bytes of a line, of an event, and of an answer that is not streamed. Decoding that many takes up to 30 ms."""
_LONGEST_REPAIRED = 2**18
"""Bytes of JSON that is decoded although it is not valid, or decoded twice. Either takes several times as long."""
_ESCAPE = re.compile(rb"\\(?:u[0-9A-Fa-f]{4}|.)")
_BOM = b"\xef\xbb\xbf"
_FIELD = re.compile(rb"(?:data|event|id|retry|error)?:")
_LONGEST_FIELD = len(b"error:")
_DONE = b"[DONE]"


class StreamError(Exception):
    """A server's error object in place of a reply. It is raised and caught within this package."""

    def __init__(self, body: object) -> None:
        super().__init__()
        self.body = body


class WebPageError(Exception):
    """The answer is a web page. It is raised and caught within this package."""


class _Kind(Enum):
    UNKNOWN = auto()
    FIRST_LINE = auto()
    """JSON whose first line has not ended. That line may be a value of its own, as may each of those behind it."""
    JSON = auto()
    """JSON that is one value."""
    STREAM = auto()
    """Lines."""


class ServerEvents:
    """The JSON values of one answer.

    Raises `StreamError` for an event that is named an error, `WebPageError`, and `ConnectionError` for what is too long
    or is not JSON. `is_page` is the label's word that the answer is a web page.
    """

    def __init__(self, *, is_page: bool = False) -> None:
        self.done = False
        """Whether nothing follows: `[DONE]` came, or all of the JSON."""
        self.bare = False
        """Whether the answer is JSON without the framing of events."""
        self._is_page = is_page
        self._kind = _Kind.UNKNOWN
        self._rest = bytearray()
        """The beginning of a line or an answer whose end has not come."""
        self._after_cr = False
        self._held = bytearray()
        """The data lines of an event so far, as none of them is JSON by itself."""
        self._in_error = False
        self._values = 0

    def feed(self, chunk: bytes) -> Iterable[Any]:
        """Decode the next bytes, which may end anywhere. The result is to be iterated over before the next call."""
        if self._kind is not _Kind.STREAM:
            chunk = self._recognize(chunk)
        if self._after_cr and chunk.startswith(b"\n"):
            chunk = chunk[1:]
        if not chunk or self.done:
            return ()
        lines = chunk.splitlines()
        self._after_cr = chunk.endswith(b"\r")
        if self._rest:
            self._limit(len(self._rest) + len(lines[0]))
            self._rest += lines[0]
            if len(lines) > 1 or self._after_cr or chunk.endswith(b"\n"):
                lines[0], self._rest = bytes(self._rest), bytearray()
            else:
                return ()
        if not self._after_cr and not chunk.endswith(b"\n"):
            self._rest = bytearray(lines.pop())
        return self._decode(lines)

    def close(self) -> Iterator[Any]:
        """Decode what is left at the end of the answer."""
        rest, self._rest = bytes(self._rest), bytearray()
        if self._kind is _Kind.UNKNOWN and self._is_page:
            raise WebPageError
        if self._kind is _Kind.JSON:
            try:
                value = _from_json(rest)
            except ValueError:
                yield from self._decode(rest.splitlines())
            else:
                yield value
                self.done = True
                return
        else:
            yield from self._decode([rest])
        yield from self._end_event()
        self.done = self.done or (self.bare and self._values == 1)

    def _recognize(self, chunk: bytes) -> bytes:
        """Tell from the first bytes what the answer is. Returns the bytes to decode as lines, if there are any."""
        self._limit(len(self._rest) + len(chunk))
        self._rest += chunk
        if self._kind is _Kind.UNKNOWN:
            head = bytes(self._rest).removeprefix(_BOM).lstrip()
            if head.startswith(b"<"):
                raise WebPageError
            if head.startswith((b"{", b"[")):
                self._kind, self.bare = _Kind.FIRST_LINE, True
            elif _FIELD.match(head) or not (self._is_page or _BOM.startswith(head)):
                self._kind, self._rest = _Kind.STREAM, bytearray()
                return head
            elif len(head) >= _LONGEST_FIELD:
                raise WebPageError
            self._rest = bytearray(head)
        if self._kind is _Kind.FIRST_LINE and b"\n" in chunk:
            head = bytes(self._rest)
            if _is_json(head.partition(b"\n")[0]):
                self._kind, self._rest = _Kind.STREAM, bytearray()
                return head
            self._kind = _Kind.JSON
        return b""

    # What follows runs for every line.

    def _decode(self, lines: list[bytes]) -> Iterator[Any]:
        for line in lines:
            if self.done:
                return
            if line.startswith(b"data:"):
                data = line[5:]
            elif not line or line.isspace():
                if self._held or self._in_error:
                    yield from self._end_event()
                continue
            elif line.startswith((b"{", b"[")) and not self._held:
                data = line
            elif line.startswith(b"error:"):  # llama.cpp before 2024
                data = line[6:]
                self._in_error = True
            elif line.startswith(b"event:"):
                self._in_error = line[6:].strip() == b"error"
                continue
            else:  # a comment, or a field of no use
                continue
            if not self._held:
                try:
                    value = jiter.from_json(data)
                except ValueError:
                    pass
                else:
                    if isinstance(value, dict) and not self._in_error:
                        self._values += 1
                        yield value
                    else:
                        yield from self._take(value)
                    continue
            if data.strip() == _DONE:
                self.done = True
            else:
                self._limit(len(self._held) + len(data))
                self._held += data.removeprefix(b" ") + b"\n"

    def _take(self, value: Any) -> Iterator[Any]:
        self._values += 1
        if self._in_error:
            raise StreamError(value)
        if value == _DONE.decode():
            self.done = True
        else:
            yield value

    def _end_event(self) -> Iterator[Any]:
        held, self._held = bytes(self._held), bytearray()
        if held.strip():
            try:
                value = _from_json(held)
            except ValueError:
                if not self._in_error:
                    raise ConnectionError("a part of it was not JSON") from None
                value = held.decode(errors="replace").strip()
            yield from self._take(value)
        self._in_error = False

    def _limit(self, length: int) -> None:
        if length > LONGEST:
            raise ConnectionError("a part of it was longer than 1 MiB")


def _is_json(data: bytes) -> bool:
    if len(data) > _LONGEST_REPAIRED:
        return False
    try:
        jiter.from_json(data)
    except ValueError:
        return False
    return True


def _from_json(data: bytes) -> Any:
    """Decode JSON, also with lone surrogates or invalid UTF-8, which some servers send. Raises ValueError."""
    try:
        return jiter.from_json(data)
    except ValueError:
        if len(data) > _LONGEST_REPAIRED:
            raise
    text = data.decode("utf-8", "replace")
    # This raises ValueError for what is no JSON or is nested too deeply for those who read it.
    jiter.from_json(_ESCAPE.sub(b"?", text.encode()))
    return json.loads(text)
