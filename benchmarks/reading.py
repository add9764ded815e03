"""What reading a model costs: CPU time of this process for each delta, with the server in a process of its own.

    python -m benchmarks.reading

A burst is a reply that comes as fast as the connection takes it; trickling is a hundred replies at once, each with 60
deltas a second. The limits are 15 µs and 45 µs.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bot.config import ModelServerSettings
from bot.core.model_events import Message, Text
from bot.llm.client import OpenAIModel
from bot.standin.model import ModelStandin
from bot.standin.script import Reply

_PROMPT = [Message("user", "Go on.")]
_BURST_DELTAS = 20_000
_STREAMS = 100
_TOKENS_PER_SECOND = 60


async def _read(model: OpenAIModel) -> int:
    deltas = 0
    async with model.stream(_PROMPT, model="standin", reply_tokens=_BURST_DELTAS) as events:
        async for event in events:
            deltas += isinstance(event, Text)
    return deltas


async def _measure(title: str, deltas: int, streams: int, tokens_per_second: float | None) -> None:
    async with (
        _server(deltas, tokens_per_second) as base_url,
        OpenAIModel(ModelServerSettings(base_url)) as model,
    ):
        # The first request pays for the SDK's lazy imports.
        await model.probe("standin", _BURST_DELTAS)
        cpu, wall = time.process_time(), time.perf_counter()
        read = sum(await asyncio.gather(*(_read(model) for _ in range(streams))))
        cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    print(f"{title:<42} {read:>7} deltas  {wall:>5.1f} s  {cpu / read * 1e6:>5.1f} µs of CPU a delta")


@asynccontextmanager
async def _server(deltas: int, tokens_per_second: float | None) -> AsyncIterator[str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "benchmarks.reading", "--serve", str(deltas), str(tokens_per_second or 0)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None  # noqa: S101 - PIPE was asked for
    assert process.stdout is not None  # noqa: S101 - PIPE was asked for
    try:
        yield (await process.stdout.readline()).decode().strip()
    finally:
        process.stdin.close()
        await process.wait()


async def _serve(deltas: int, tokens_per_second: float) -> None:
    reply = Reply([" token"] * deltas, tokens_per_second=tokens_per_second or None, jitter=0.5)
    async with ModelStandin(default=reply) as server:
        print(server.base_url, flush=True)
        await asyncio.to_thread(sys.stdin.read)


async def _main(seconds: float) -> None:
    await _measure("one burst", _BURST_DELTAS, 1, None)
    await _measure("a hundred bursts", _BURST_DELTAS // 20, _STREAMS, None)
    await _measure(
        f"{_STREAMS} streams of {_TOKENS_PER_SECOND} a second",
        int(seconds * _TOKENS_PER_SECOND),
        _STREAMS,
        _TOKENS_PER_SECOND,
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10, help="length of the trickling replies")
    parser.add_argument("--serve", nargs=2, type=float, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        asyncio.run(_serve(int(arguments.serve[0]), arguments.serve[1]))
    else:
        asyncio.run(_main(arguments.seconds))
