"""People whose texts are to be forgotten, and what a database still holds of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from bot.core.prompt_text import mention
from bot.core.quotas import Quotas, Reservation, Usage
from bot.core.turns import Attempt, Conversation, Outcome, Prompt, Quote, TurnState, UserName
from bot.store import Store
from tests.places import on_discord
from tests.store.steps import HERE, files, rows

BO, CLEO, DAN, GUILD = 2**60 + 7, 2**60 + 8, 2**60 + 9, 5
THERE = on_discord(2)
DM = on_discord(3)
PLENTY = Quotas(100, daily_tokens_per_user=10**9, daily_tokens_per_server=10**9, daily_tokens_total=10**9)


def secret(path: Path, text: bytes = b"SECRET") -> bool:
    return any(text in content for name, content in files(path).items() if name.startswith(path.name))


def left(path: Path) -> int:
    """The rows that are still to be deleted, and the records of what is forgotten."""
    count = "SELECT (SELECT count(*) FROM stored_turns) - (SELECT count(*) FROM turns)"
    count += " + (SELECT count(*) FROM forgotten_conversations) + (SELECT count(*) FROM forgotten_users)"
    [[found]] = rows(path, count)
    return int(found)


async def asked(
    store: Store,
    position: int,
    user: int,
    prompt: str,
    reply: str,
    where: Conversation = HERE,
    quote: Quote | None = None,
    names: Mapping[int, str] = MappingProxyType({}),
) -> Attempt:
    """A question that was paid for, and answered in a message with the number of its own + 1,000."""
    guild = None if where == DM else GUILD
    author = UserName("Name", "name")
    attempt = await store.turns.begin(
        Prompt(where, position, prompt, user, author, guild, quote=quote, message_id=position, names=names)
    )
    assert isinstance(attempt, Attempt)
    assert isinstance(await store.quotas.reserve(attempt, "m", 10, 10, 1, PLENTY), Reservation)
    await store.deliveries.posting(attempt, 0, 0, "n")
    await store.deliveries.posted(attempt, 0, position + 1000)
    if reply:
        assert await store.turns.close(attempt, Outcome(TurnState.COMPLETE, reply, usage=Usage(3, 4)))
        await store.turns.mark_delivered(attempt)
    return attempt


async def fill(store: Store, turns: int = 4) -> None:
    """What Bo said in a channel, of Dan too, in another and in a DM, and Cleo in the second one, quoting Bo."""
    quote = "[SECRET]"
    for n in range(turns):
        named = f"SECRET-HERE {mention(DAN)} {n}"
        await asked(store, 10 * n + 1, BO, named, "SECRET-HERE " * 100, names={DAN: "SECRET-HERE-DAN"})
        await asked(store, 10 * n + 2, CLEO, f"{quote} public {n}", "public", THERE, Quote(BO, len(quote)))
        await asked(store, 10 * n + 3, BO, f"SECRET {n}", "SECRET", DM)
        await asked(store, 10 * n + 4, CLEO, "kept", "kept", THERE)
        await asked(store, 10 * n + 5, BO, "SECRET", "SECRET", THERE)


async def forget(store: Store) -> set[int]:
    return await store.people.forget(BO)
