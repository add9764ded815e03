"""Reads that are asked for at once, such as by `asyncio.gather`, and go to a database together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeAlias, TypeVar

from bot.core.errors import StoreError
from bot.store.engine import Rows

_Query = TypeVar("_Query")
_Waiting: TypeAlias = list[tuple[_Query, "asyncio.Future[Rows]"]]


class Reads(Generic[_Query]):
    """The reads of one engine. Those of one or two turns of the event loop share a way to the database and back.

    `answer` runs queries: it returns the rows or the error of each, or raises what concerns all of them.
    """

    def __init__(self, answer: Callable[[Sequence[_Query]], Awaitable[Sequence[Rows | StoreError]]]) -> None:
        self._answer = answer
        self._waiting: _Waiting[_Query] = []
        self._running: set[asyncio.Task[None]] = set()

    async def read(self, query: _Query) -> Rows:
        """The rows of a query. Raises StoreError."""
        loop = asyncio.get_running_loop()
        if not self._waiting:
            # A turn later, so that those of a `gather` within another one come along.
            loop.call_soon(loop.call_soon, self._begin)
        rows: asyncio.Future[Rows] = loop.create_future()
        self._waiting.append((query, rows))
        return await rows

    async def close(self) -> None:
        """End what is still running, which nobody waits for any more than for the database."""
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running)

    def _begin(self) -> None:
        waiting, self._waiting = self._waiting, []
        task = asyncio.create_task(self._run(waiting))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _run(self, waiting: _Waiting[_Query]) -> None:
        answers: Sequence[Rows | StoreError] = [StoreError("The database is closed.")] * len(waiting)
        try:
            answers = await self._answer([query for query, _ in waiting])
        except StoreError as error:
            answers = [error] * len(waiting)
        finally:
            for (_, rows), answer in zip(waiting, answers, strict=True):
                if rows.done():
                    continue
                if isinstance(answer, StoreError):
                    rows.set_exception(answer)
                else:
                    rows.set_result(answer)
