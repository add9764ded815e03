"""Odd answers and events of Discord: the person is answered all the same, and what they asked for is done."""

from __future__ import annotations

import json
from typing import Any

import pytest

from bot import texts
from bot.standin.directory import Event
from bot.standin.faults import ALWAYS, Answered, Call, ConnectionReset, Garbled, Refused, RestAction, ServerError, Slow
from bot.standin.limits import MESSAGES
from bot.standin.server import DiscordStandin
from tests.discord_bot.conftest import Start, World
from tests.discord_bot.server_pages import id_of, page_of
from tests.places import on_discord

pytestmark = [pytest.mark.usefixtures("echo"), pytest.mark.virtual_time]
FOLLOW_UP = "/webhooks/{webhook_id}/{webhook_token}"
ORIGINAL = FOLLOW_UP + "/messages/@original"
CALLBACK = "/interactions/{interaction_id}/{interaction_token}/callback"

INVALID = {
    "code": 50035,
    "message": "Invalid Form Body",
    "errors": {"message_reference": {"_errors": [{"code": "REPLIES_UNKNOWN_MESSAGE", "message": "Unknown message"}]}},
}
REFUSALS: dict[str, RestAction] = {
    "unknown message": Refused(404, 10008, "Unknown Message"),
    "invalid form": Answered(400, json.dumps(INVALID).encode()),
    "no history": Refused(400, 160002, "Cannot reply without permission to read message history"),
    "missing permissions": Refused(403, 50013, "Missing Permissions"),
    "an odd code": Refused(403, 999_999, "No"),
    "a page": Answered(403, b"<html>Forbidden</html>", "text/html"),
    "no body": Answered(404, b"", "text/plain"),
    "broken JSON": Answered(400, b'{"code": 50035,'),
    "a list": Answered(400, b'["no"]'),
    "odd types": Answered(404, b'{"code": "10008", "message": null, "errors": []}'),
}
refusals = pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS)


@refusals
async def test_reply_comes_without_a_reference_that_is_refused(world: World, refusal: RestAction) -> None:
    refused = world.discord.faults.add(refusal, method="POST", route=MESSAGES, when=_refers, times=ALWAYS)
    await world.ask("one")
    await world.until(world.shown, ["To one."])
    await world.idle()
    assert refused.hits == 1
    assert [state for *_, state in await world.turns(world.discord.general)] == ["complete"]


@refusals
async def test_reply_that_is_refused_either_way_is_told_of(world: World, refusal: RestAction) -> None:
    def says_it(call: Call) -> bool:
        return _refers(call) or "To one." in str(call.body)

    if refusal is REFUSALS["missing permissions"]:
        pytest.skip("then nothing may be said")
    refused = world.discord.faults.add(refusal, method="POST", route=MESSAGES, when=says_it, times=ALWAYS)
    await world.ask("one")
    await world.until(world.shown, [texts.REFUSED])
    await world.idle()
    assert refused.hits == 3, "the reply with a reference and without, and the sentence with one"


async def test_unreadable_message_hides_no_other(discord: DiscordStandin, start: Start) -> None:
    odd: list[Any] = [
        {},
        None,
        {"type": "?"},
        {"author": None},
        {"mentions": [{}]},
        {"message_reference": {"channel_id": "x"}},
    ]
    for number in range(4):
        await discord.say(discord.general, discord.bo, f"<@{discord.bot.id}> {number}")

    def garbled(found: Any) -> Any:
        for each in odd:
            found.insert(1, {**found[0], **each} if each else each)
        return found

    garble = discord.faults.add(Garbled(garbled), method="GET", route=MESSAGES)
    async with start() as world:
        # The newest three are answered.
        await world.until(world.shown, ["To 1.", "To 2.", "To 3."])
        assert garble.hits
        await world.idle()


@pytest.mark.parametrize(
    "name", ["MESSAGE_CREATE", "MESSAGE_UPDATE", "GUILD_CREATE", "INTERACTION_CREATE", "THREAD_CREATE"]
)
async def test_unreadable_event_ends_nothing(world: World, shards: int, name: str) -> None:
    gateway = world.discord.gateway
    for odd in ({}, {"id": "x"}, {"id": "1", "type": 2, "guild_id": [], "channel_id": {}, "author": 3}):
        gateway.dispatch(Event(name, lambda _, odd=odd: odd))  # type: ignore[misc]
    await world.answered("one")
    assert world.shown() == ["To one."]
    assert gateway.identifies == shards


UNTAKEN: dict[str, RestAction] = {
    "unknown interaction": Refused(404, 10062, "Unknown interaction"),
    "acknowledged before": Refused(400, 40060, "Interaction has already been acknowledged."),
    "500": ServerError(500),
    "500, applied": ServerError(500, applied=True),
    "reset": ConnectionReset(),
    "reset, applied": ConnectionReset(applied=True),
    "too late": Slow(4.0),
    "a page": Answered(200, b"<html>", "text/html"),
    "broken JSON": Answered(400, b"{"),
    "an answer without sense": Garbled(lambda _: {"interaction": []}),
}


@pytest.mark.parametrize("defer_after", [0.0, 1.5], ids=["deferred", "at once"])
@pytest.mark.parametrize("untaken", UNTAKEN.values(), ids=UNTAKEN)
async def test_commands_do_what_they_say_though_discord_takes_no_answer(
    world: World, untaken: RestAction, defer_after: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.discord_bot.interactions.responses.DEFER_AFTER", defer_after)
    discord, store = world.discord, world.store
    here, there = on_discord(discord.general.id), on_discord(discord.random_channel.id)
    for channel, person in ((discord.general, discord.bo), (discord.random_channel, discord.cleo)):
        await world.answered("one", channel, person)
    panel = await (await discord.slash(discord.max, discord.general, "persona")).answered()
    form = await world.press(panel, discord.max, "persona:change")
    await discord.wait_for(lambda: form.modal)
    page = await page_of(discord, discord.random_channel)
    confirm = await (await discord.slash(discord.bo, discord.general, "forget-me")).answered()

    async def has_persona() -> bool:
        return (await store.personas.settings_of(here)).persona == "Be brief."

    async def decided() -> tuple[bool, int, int]:
        found = await store.guild_rules.decisions(discord.guild.id, 10)
        return found.paused is not None, len(found.channels), len(found.blocks)

    by_token = (CALLBACK, FOLLOW_UP, ORIGINAL)
    discord.faults.add(untaken, when=lambda call: call.route in by_token, times=ALWAYS)
    await discord.submit(form, text="Be brief.")
    await world.until(has_persona)
    await discord.slash(discord.cleo, discord.random_channel, "reset")
    await world.until(lambda: store.turns.history(there, 1), [])
    await world.press(confirm, discord.bo, f"forget-me:yes:{discord.bo.id}")
    await world.until(lambda: store.turns.history(here, 1), [])
    await discord.slash(discord.max, discord.general, "block", member=discord.cleo)
    await discord.press(discord.max, page, id_of(page, "block"))
    await discord.slash(discord.max, discord.general, "pause")
    await world.until(decided, (True, 1, 1))


def _refers(call: Call) -> bool:
    return "message_reference" in (call.body if isinstance(call.body, dict) else {})
