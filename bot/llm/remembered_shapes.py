"""What requests to one model server have shown, kept from one start to the next."""

from __future__ import annotations

import hashlib
import json
import logging
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol
from urllib.parse import urlsplit

from bot.core.errors import StoreError
from bot.core.model_events import Origin
from bot.llm.parameters import RequestShape

_DAY = 24 * 3600
_KEPT = 7 * _DAY
"""Seconds after which a server is asked as if nothing were known of it: it may have been updated."""

_log = logging.getLogger(__name__)


class ServerFacts(Protocol):
    """A store for what is known of model servers. Every method raises `bot.core.errors.StoreError`."""

    async def load(self, server: str, model: str) -> tuple[str, int] | None:
        """Return what is known of a model, as JSON, and when it was learned in seconds since the epoch."""
        ...

    async def save(self, server: str, model: str, facts: str, learned_at: int) -> None: ...

    async def forget(self, server: str, model: str) -> None: ...

    async def hash_key(self, purpose: str) -> str:
        """Return the secret key for hashes with this purpose, which is made once."""
        ...


@dataclass(frozen=True, slots=True)
class Remembered:
    """A shape that refusals have taught. Times are seconds since the epoch.

    `resumed_at` is the time of the last attempt with a parameter that had been left out.
    """

    shape: RequestShape
    learned_at: int
    resumed_at: int


@dataclass
class RememberedShapes:
    """The shapes of the requests to the models of one server. `clock` gives seconds since the epoch.

    Without `facts`, or where the database fails, they are kept in memory only.
    """

    base_url: str
    first: RequestShape
    """The shape of requests to a model of which nothing is known."""
    facts: ServerFacts | None = None
    clock: Callable[[], float] = time.time
    _known: dict[str, Remembered | None] = field(default_factory=dict)
    _keys: dict[str, str] = field(default_factory=dict)

    async def of(self, model: str) -> Remembered | None:
        """What is known of a model and not too old, with a paused parameter more if one is due."""
        if model not in self._known:
            self._known[model] = await self._load(model)
        known = self._known[model]
        if known is None:
            return None
        now = self.clock()
        if not known.learned_at <= now < known.learned_at + _KEPT:
            return None
        if known.shape.paused and now >= known.resumed_at + _DAY:
            return replace(known, shape=known.shape.resumed(), resumed_at=int(now))
        return known

    async def learn(self, model: str, shape: RequestShape, before: Remembered | None) -> None:
        """Remember the shape of a request that the server took. `before` is what was known of the model."""
        now = int(self.clock())
        learned = Remembered(replace(shape, trial=None), before.learned_at if before else now, now)
        self._known[model] = learned
        if self.facts is not None:
            try:
                facts = json.dumps({**shape.facts(), "resumed_at": now})
                await self.facts.save(self.server, model, facts, learned.learned_at)
            except StoreError as error:
                _log.warning("Could not save which requests %s accepts: %s", model, error)

    async def forget(self, model: str) -> None:
        """Forget a shape that the server has refused."""
        self._known[model] = None
        if self.facts is not None:
            try:
                await self.facts.forget(self.server, model)
            except StoreError as error:
                _log.warning("Could not delete which requests %s accepted: %s", model, error)

    async def identifiers(self, origin: Origin | None) -> dict[str, str]:
        """The parameters that stand for a conversation and a person, as hashes that nobody else can make."""
        if origin is None:
            return {}
        hashes = {"prompt_cache_key": await self._hash("prompt_cache_key", str(origin.conversation))}
        if origin.user_id is not None:
            who = f"{origin.conversation.platform}:{origin.user_id}"
            hashes["safety_identifier"] = await self._hash("safety_identifier", who)
        return hashes

    @property
    def server(self) -> str:
        """The server's address without a password or a query."""
        url = urlsplit(self.base_url)
        host = url.netloc.rpartition("@")[2].lower()
        return f"{url.scheme.lower()}://{host}{url.path.rstrip('/')}"

    async def _hash(self, purpose: str, text: str) -> str:
        if purpose not in self._keys:
            self._keys[purpose] = await self._hash_key(purpose)
        key = bytes.fromhex(self._keys[purpose])
        return hashlib.blake2b(text.encode(), key=key, digest_size=16).hexdigest()

    async def _hash_key(self, purpose: str) -> str:
        if self.facts is not None:
            try:
                return await self.facts.hash_key(purpose)
            except StoreError as error:
                _log.warning("Until the next start, %s has another key: %s", purpose, error)
        return secrets.token_hex(32)

    async def _load(self, model: str) -> Remembered | None:
        if self.facts is None:
            return None
        try:
            found = await self.facts.load(self.server, model)
        except StoreError as error:
            _log.warning("Could not read which requests %s accepts: %s", model, error)
            return None
        if found is None:
            return None
        facts = json.loads(found[0])
        shape, resumed_at = self.first.with_facts(facts), facts.get("resumed_at")
        return Remembered(shape, found[1], resumed_at) if shape and isinstance(resumed_at, int) else None
