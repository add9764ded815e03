"""A process that claims one shard of one, and says when it serves it, when it acts, and when it has lost it."""

from __future__ import annotations

import asyncio
import sys
import time

from bot.core.shards import WantedShards
from bot.store.postgresql.claims import Claims, Timing


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def main(url: str, own_for: float, open_for: float) -> None:
    async with Claims(url, WantedShards(), Timing(own_for, open_for, look_every=0.1)) as claims:
        claim = await claims.take()
        say("serves")
        while not claim.gate.is_shut:
            if claim.gate.is_open:
                say(f"acts at {time.monotonic()}")
            await asyncio.sleep(0.01)
        say("lost")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3])))
