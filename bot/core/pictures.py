"""The pictures that prompts show: where each is found again, its bytes while they are in memory, and its tokens."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple, Protocol

log = logging.getLogger(__name__)

LONGEST_SIDE = 1536
"""Pixels of the longest side of a picture that a model is sent."""
_PIXELS_PER_TOKEN = 750
"""What Anthropic states. Models that cut a picture into squares of 28 or 32 pixels count about as much or less."""
_FEWEST_TOKENS = 85
"""The tokens of the smallest picture, as OpenAI states them."""
_MOST_BYTES = 64 * 2**20
"""Bytes of all pictures in memory."""
_RETRY_AFTER = 30.0
"""Seconds after which a picture is asked for again that the platform did not give."""
_MOST_ENTRIES = 2000
"""Pictures in memory, and pictures that are known to be gone."""


class PictureReference(NamedTuple):
    """Where a platform finds a picture of a prompt again. A tuple, since one context may hold many.

    `source` is the platform's own. The size, in pixels, is the platform's word: None where it says nothing. `quoted`:
    the picture is part of the message that the prompt quotes. `turn_id` is 0 until the prompt is on record.
    """

    source: str
    name: str
    width: int | None = None
    height: int | None = None
    quoted: bool = False
    turn_id: int = 0

    @property
    def tokens(self) -> int:
        """The estimated tokens of the picture, scaled as a model is sent it."""
        if not self.width or not self.height:
            return picture_tokens(LONGEST_SIDE, LONGEST_SIDE)
        scale = min(1.0, LONGEST_SIDE / max(self.width, self.height))
        return picture_tokens(math.ceil(self.width * scale), math.ceil(self.height * scale))


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture as a model is sent it. The size is in pixels."""

    data: bytes
    media_type: str
    width: int
    height: int

    @property
    def tokens(self) -> int:
        """The estimated tokens."""
        return picture_tokens(self.width, self.height)


def picture_tokens(width: int, height: int) -> int:
    """The estimated tokens of a picture of this size in pixels."""
    return max(_FEWEST_TOKENS, math.ceil(width * height / _PIXELS_PER_TOKEN))


class PictureProblem(Enum):
    """The reason why a model is not sent a picture."""

    GONE = "gone"
    """Its message or the file is no longer there."""
    WITHHELD = "withheld"
    """The platform shows its message, but not what is in it."""
    UNREADABLE = "unreadable"
    """It is no picture that can be read, or too large."""
    NO_PICTURE = "no picture"
    """It is another kind of file, which can be read as such."""
    UNAVAILABLE = "unavailable"
    """The platform does not give it just now."""
    UNSEEN = "unseen"
    """The model cannot see."""
    REFUSED = "refused"
    """The model's server refused the request with it."""
    LEFT_OUT = "left out"
    """There is no room for it beside the others."""


class PictureSource(Protocol):
    """A platform that gives the pictures of its messages again."""

    async def fetch(self, reference: PictureReference) -> Picture | PictureProblem:
        """The picture, scaled for a model, within some seconds; or why there is none."""
        ...


class PictureStore(Protocol):
    """The references of the pictures of all turns."""

    async def of_turns(self, turn_ids: Collection[int]) -> Mapping[int, Sequence[PictureReference]]:
        """The pictures of each of these turns that has some. Raises StoreError."""
        ...


@dataclass(slots=True)
class _Entry:
    found: Picture | PictureProblem
    turns: set[int]
    """The turns that show it, as far as they were sent."""
    until: float
    """When it is asked for again, in the event loop's time."""
    is_new: bool = True
    """Whether it came after the last sweep, so that its turn may not be on record yet."""

    @property
    def size(self) -> int:
        return len(self.found.data) if isinstance(self.found, Picture) else 0


class Pictures:
    """The pictures of one process, up to `most_bytes` of them in memory. Those that were not used for longest go first.

    What is not in memory is asked of `source`; without one, it is unavailable. No two tasks ask for the same picture at
    the same time.
    """

    def __init__(self, store: PictureStore, most_bytes: int = _MOST_BYTES) -> None:
        self.source: PictureSource | None = None
        self._store = store
        self._most_bytes = most_bytes
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._bytes = 0
        self._fetching: dict[str, asyncio.Task[None]] = {}
        self._loading = set[asyncio.Task[None]]()

    def add(self, source: str, picture: Picture) -> None:
        """Keep a picture that was fetched for a prompt."""
        self._keep(source, picture)

    async def load(self, references: Iterable[PictureReference], within: float) -> None:
        """Fetch what is not in memory, for at most so many seconds. What takes longer goes on being fetched."""
        missing = dict[str, PictureReference]()
        for each in references:
            if self._is_missing(each.source):
                missing[each.source] = each
            else:
                self._entries[each.source].turns.add(each.turn_id)
        if self.source is None or not missing:
            return
        for source, reference in missing.items():
            if source not in self._fetching:
                self._fetching[source] = asyncio.create_task(self._fetch(self.source, reference))
        await asyncio.wait([self._fetching[source] for source in missing], timeout=within)

    def loading(self, references: Iterable[PictureReference], within: float) -> asyncio.Event:
        """Load in the background. The event is set when it is over."""
        over, references = asyncio.Event(), tuple(references)
        if not references:
            over.set()
            return over
        task = asyncio.create_task(self.load(references, within))
        self._loading.add(task)
        task.add_done_callback(self._loading.discard)
        task.add_done_callback(lambda _: over.set())
        return over

    def found(self, references: Iterable[PictureReference]) -> dict[PictureReference, Picture | PictureProblem]:
        """What is in memory of these pictures, and what is known to be gone."""
        found = {}
        for reference in references:
            entry = self._entries.get(reference.source)
            if entry is not None:
                entry.turns.add(reference.turn_id)
                self._entries.move_to_end(reference.source)
                found[reference] = entry.found
        return found

    async def sweep(self) -> None:
        """Drop the pictures of turns that are no longer on record. Raises StoreError."""
        if not self._entries:
            return
        known = tuple(self._entries.items())
        on_record = await self._store.of_turns({turn for _, entry in known for turn in entry.turns})
        sources = {each.source for pictures in on_record.values() for each in pictures}
        for source, entry in known:
            if source not in sources and not entry.is_new and self._entries.get(source) is entry:
                self._drop(source)
            entry.is_new = False

    async def close(self) -> None:
        """Stop fetching."""
        tasks = {*self._fetching.values(), *self._loading}
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _fetch(self, source: PictureSource, reference: PictureReference) -> None:
        try:
            self._keep(reference.source, await source.fetch(reference), reference.turn_id)
        except Exception:
            log.exception("an image could not be fetched, because of a bug")
        finally:
            del self._fetching[reference.source]

    def _keep(self, source: str, found: Picture | PictureProblem, turn_id: int = 0) -> None:
        self._drop(source)
        until = _now() + _RETRY_AFTER if found is PictureProblem.UNAVAILABLE else math.inf
        entry = self._entries[source] = _Entry(found, {turn_id}, until)
        self._bytes += entry.size
        while self._bytes > self._most_bytes or len(self._entries) > _MOST_ENTRIES:
            self._drop(next(iter(self._entries)))

    def _is_missing(self, source: str) -> bool:
        entry = self._entries.get(source)
        return entry is None or _now() >= entry.until

    def _drop(self, source: str) -> None:
        entry = self._entries.pop(source, None)
        if entry is not None:
            self._bytes -= entry.size


def _now() -> float:
    return asyncio.get_running_loop().time()
