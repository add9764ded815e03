"""What goes wrong in a soak: the model's replies, Discord's answers and its connections."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

from bot.standin.faults import ConnectionReset, Fault, RateLimited, RestAction, ServerError, Slow, Twice
from bot.standin.script import REFUSALS, Drop, Reply, Step
from bot.standin.server import DiscordStandin

REQUESTS = (RateLimited, ServerError, ConnectionReset, Slow)
CONNECTIONS = ("event twice", "connection cut", "told to reconnect", "session invalid")
KINDS = (*(each.__name__ for each in REQUESTS), *CONNECTIONS)
"""All that goes wrong on Discord, as the ledger names it."""


def drawn_step(pick: random.Random) -> Step:
    """What the model does with one request: mostly well."""
    words = [f"w{number} " for number in range(pick.choice([1, 6, 40, 200, 900, 3000]))]
    pace = pick.choice([60.0, 200.0, 1000.0])
    where = pick.randrange(len(words) + 1)
    steps: list[Step] = [
        Reply(words, tokens_per_second=pace, first_token_after=pick.choice([0, 0, 0.3, 1.5])),
        Reply(words, tokens_per_second=pace, finish="length"),
        Reply(words, tokens_per_second=pace, cut_after=where),
        Reply(words, tokens_per_second=pace, error_after=where),
        Reply(words, tokens_per_second=pace, stall_after=where, ping_every=1.0),
        Reply(""),
        Drop(),
        REFUSALS[pick.choice(["server error", "rate limit", "bad key", "content filter", "quota"])],
    ]
    return pick.choices(steps, [70, 6, 6, 4, 3, 2, 3, 6])[0]


async def make_trouble(pick: random.Random, discord: DiscordStandin, did: Counter[str]) -> None:
    """Let Discord fail at times that are drawn, until the task is cancelled."""
    faults, gateway = discord.faults, discord.gateway
    armed: dict[str, Fault] = {}
    while True:
        await asyncio.sleep(pick.expovariate(1 / 2.5))
        kind = pick.choices(["request", *CONNECTIONS], [70, 10, 8, 6, 6])[0]
        if kind == "request":
            actions: list[RestAction] = [
                RateLimited(pick.uniform(0.2, 3)),
                RateLimited(pick.uniform(0.2, 3), "global"),
                RateLimited(0.5, via=False),
                ServerError(pick.choice([500, 502, 503])),
                ServerError(pick.choice([500, 502, 503]), applied=True),
                ConnectionReset(applied=pick.random() < 0.5),
                Slow(pick.uniform(1, 10), applied=pick.random() < 0.5),
            ]
            action, method = pick.choice(actions), pick.choice(["POST", "PATCH", "DELETE", "GET"])
            # What has not struck yet would pile up while few requests are made, and then refuse all of them.
            if method not in armed or not armed[method].left:
                armed[method] = faults.add(action, method=method, times=pick.choice([1, 1, 3]))
                did[type(action).__name__] += 1
            continue
        did[kind] += 1
        shard = pick.choice([None, *sorted(id_ for id_, _ in gateway.shards)])
        if kind == "event twice":
            faults.add(Twice(), event="MESSAGE_CREATE")
        elif kind == "connection cut":
            await gateway.drop(pick.choice([None, 1001, 4000]), shard=shard)
        elif kind == "told to reconnect":
            await gateway.reconnect(shard=shard)
        else:
            await gateway.invalidate(shard=shard)
