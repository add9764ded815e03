"""Whatever fails, in every phase of a reply: the person sees something, and the next prompt is answered."""

from __future__ import annotations

import asyncio
import math
import time
from pathlib import Path

import pytest

from bot.errors import DiscordError
from bot.standin.entities import Permission
from bot.standin.faults import AUTOMOD, FORBIDDEN, ConnectionReset, RateLimited, RestAction, ServerError, Slow, Twice
from bot.standin.model import REFUSALS, ModelStandin, Reply
from bot.standin.server import DiscordStandin
from tests.discord_bot.conftest import Start, World, serving

BROKEN = "-# My model isn't answering right now. Your question is saved."
SETUP = "-# I have a set-up problem; it's nothing you did."
WORDS = [f"word{n} " for n in range(30)]
BEGUN = "word0 word1"


def broken(phase: str, fault: str) -> Reply:
    after = {"before": 0, "in": 3, "at the end": len(WORDS)}[phase]
    return Reply(
        WORDS,
        cut_after=after if fault == "cut" else None,
        stall_after=after if fault == "stall" else None,
        error_after=after if fault == "error event" else None,
    )


@pytest.mark.parametrize("phase", ["before", "in", "at the end"])
@pytest.mark.parametrize("fault", ["cut", "stall", "error event"])
async def test_a_model_that_breaks_off(world: World, phase: str, fault: str) -> None:
    discord, bot = world.discord, f"<@{world.discord.bot.id}>"
    world.model.default = broken(phase, fault)
    await discord.say(discord.general, discord.bo, f"{bot} tell me")
    message = await world.reply(discord.general, BROKEN)
    await world.idle()
    if phase == "before":
        assert message.content == BROKEN
    else:
        assert message.content.startswith(BEGUN)
        assert message.content.endswith(f"\n{BROKEN}")
    await assert_the_next_prompt_works(world)


@pytest.mark.parametrize(
    ("refusal", "sentence"),
    [
        ("bad key", SETUP),
        ("forbidden", SETUP),
        ("unknown model", SETUP),
        ("quota", SETUP),
        ("rate limit", "-# My model is busy. Try again in"),
        ("server error", BROKEN),
        ("content filter", "-# The model's provider declined this one. Rewording may help."),
        ("context too long", "-# That's more than my model can read at once."),
    ],
)
async def test_a_model_server_that_refuses(
    world: World, refusal: str, sentence: str, caplog: pytest.LogCaptureFixture
) -> None:
    discord, bot = world.discord, f"<@{world.discord.bot.id}>"
    world.model.default = REFUSALS[refusal]
    await discord.say(discord.general, discord.bo, f"{bot} tell me")
    message = await world.reply(discord.general, sentence)
    await world.idle()
    assert str(getattr(REFUSALS[refusal], "status", "")) not in message.content, "no technical detail in the channel"
    assert any(record.name == "bot.conversation" and record.levelname == "WARNING" for record in caplog.records)
    await assert_the_next_prompt_works(world)


@pytest.mark.parametrize(
    ("reply", "text", "sentence"),
    [
        (Reply("This much came.", finish="length"), "This much came.", "-# Cut at the length limit."),
        (
            Reply("This much came.", finish="content_filter"),
            "This much came.",
            "-# The model's provider declined this one. Rewording may help.",
        ),
        (Reply(""), "", "-# The model had nothing to say. Try rewording."),
    ],
)
async def test_an_ending_that_needs_a_word(world: World, reply: Reply, text: str, sentence: str) -> None:
    discord, bot = world.discord, f"<@{world.discord.bot.id}>"
    world.model.default = reply
    await discord.say(discord.general, discord.bo, f"{bot} tell me")
    message = await world.reply(discord.general, sentence)
    assert message.content == f"{text}\n{sentence}".strip()
    await assert_the_next_prompt_works(world)


async def test_a_model_server_that_is_not_there(world: World) -> None:
    discord, bot = world.discord, f"<@{world.discord.bot.id}>"
    await world.model.stop_listening()
    await discord.say(discord.general, discord.bo, f"{bot} tell me")
    await world.reply(discord.general, BROKEN)
    await world.model.listen()
    await assert_the_next_prompt_works(world)


@pytest.mark.parametrize("method", ["POST", "PATCH"])
@pytest.mark.parametrize(
    "fault",
    [
        RateLimited(0.2),
        RateLimited(0.2, scope="global"),
        RateLimited(0.2, via=False),
        ServerError(503),
        ServerError(503, applied=True),
        ConnectionReset(),
        ConnectionReset(applied=True),
        Slow(0.3),
    ],
    ids=str,
)
async def test_a_discord_that_fails_for_a_moment(world: World, method: str, fault: RestAction) -> None:
    discord, bot = world.discord, f"<@{world.discord.bot.id}>"
    discord.faults.add(fault, method=method, channel_id=discord.general.id)
    world.model.script.append(Reply(WORDS, tokens_per_second=40))
    await discord.say(discord.general, discord.bo, f"{bot} tell me")
    await world.reply(discord.general, "word29")
    await world.idle()
    assert [message.content for message in discord.bot_messages(discord.general)] == ["".join(WORDS).strip()]
    await assert_the_next_prompt_works(world)


async def test_a_reply_that_can_be_shown_no_more_is_on_record(world: World) -> None:
    discord, bot = world.discord, f"<@{world.discord.bot.id}>"
    discord.faults.add(FORBIDDEN, method="PATCH", channel_id=discord.general.id, times=1)
    world.model.script.append(Reply(WORDS, tokens_per_second=40))
    await discord.say(discord.general, discord.bo, f"{bot} tell me")
    await world.reply(discord.general, "word0")
    await world.idle()
    assert await world.turns(discord.general) == [("tell me", "".join(WORDS), "complete")]
    await assert_the_next_prompt_works(world)


@pytest.mark.parametrize("how", ["drop", "reconnect", "invalidate"])
async def test_a_gateway_that_goes_in_mid_reply(world: World, how: str) -> None:
    discord, bot = world.discord, f"<@{world.discord.bot.id}>"
    world.model.script.append(Reply(WORDS, tokens_per_second=40))
    await discord.say(discord.general, discord.bo, f"{bot} tell me")
    await world.reply(discord.general, "word0")
    if how == "drop":
        await discord.gateway.drop()
    elif how == "reconnect":
        await discord.gateway.reconnect()
    else:
        await discord.gateway.invalidate(resumable=True)
    await discord.say(discord.random_channel, discord.bo, f"{bot} meanwhile?")
    await world.reply(discord.general, "word29")
    await discord.wait_for(lambda: len(discord.bot_messages(discord.random_channel)) == 1, timeout=10)
    await world.idle()


async def test_a_full_disk(world: World) -> None:
    discord, bot = world.discord, f"<@{world.discord.bot.id}>"
    database = world.store._database
    [[pages]] = await database.write("PRAGMA page_count")
    await database.write(f"PRAGMA max_page_count = {pages}")
    await discord.say(discord.general, discord.bo, f"{bot} {'x' * 1900}")
    await discord.say(discord.general, discord.bo, f"{bot} {'x' * 1900}")
    await discord.say(discord.general, discord.bo, f"{bot} {'x' * 1900}")
    await world.reply(
        discord.general, "-# I can't save right now, so I'd forget this. Please try again later.", count=3
    )
    await world.idle()
    await database.write("PRAGMA max_page_count = 1000000")
    await assert_the_next_prompt_works(world)


@pytest.mark.parametrize("fault", [ConnectionReset(applied=True), ServerError(503, applied=True)], ids=str)
async def test_a_first_message_whose_answer_was_lost_still_becomes_the_whole_reply(
    world: World, fault: RestAction
) -> None:
    discord, bot = world.discord, f"<@{world.discord.bot.id}>"
    discord.faults.add(fault, method="POST", route="/channels/{channel_id}/messages")
    world.model.script.append(Reply(["begun ", "and ", "ended."], tokens_per_second=30))
    await discord.say(discord.general, discord.bo, f"{bot} tell me")
    await world.reply(discord.general, "begun and ended.")
    await world.idle()
    assert len(discord.bot_messages(discord.general)) == 1


async def test_a_reply_that_the_server_refuses_is_said_to_be_refused(world: World) -> None:
    discord, bot = world.discord, f"<@{world.discord.bot.id}>"
    discord.faults.add(AUTOMOD, method="POST", route="/channels/{channel_id}/messages")
    world.model.script.append(Reply("bad words"))
    await discord.say(discord.general, discord.bo, f"{bot} tell me")
    await world.reply(discord.general, "-# Discord won't show my answer here. Rewording may help.")
    await assert_the_next_prompt_works(world)


async def test_a_thread_that_is_archived_in_mid_reply_is_opened_again(world: World) -> None:
    discord, bot = world.discord, f"<@{world.discord.bot.id}>"
    thread = await discord.open_thread(discord.general, "side", discord.bo)
    world.model.script.append(Reply(WORDS, tokens_per_second=30))
    await discord.say(thread, discord.bo, f"{bot} tell me")
    await world.reply(thread, "word0")
    discord.world.update_thread(thread, archived=True)
    await world.reply(thread, "word29")
    await world.idle()
    assert [message.content for message in discord.bot_messages(thread)] == ["".join(WORDS).strip()]


async def test_a_hint_gets_through_like_any_reply(world: World) -> None:
    discord, bot = world.discord, f"<@{world.discord.bot.id}>"
    discord.deny(discord.general, Permission.READ_MESSAGE_HISTORY)
    discord.faults.add(ServerError(503), method="POST", route="/channels/{channel_id}/messages")
    discord.faults.add(Twice(), event="MESSAGE_CREATE")
    await discord.say(discord.general, discord.bo, bot)
    await world.reply(discord.general, "Hi! Put your question in the same message")
    await assert_the_next_prompt_works(world)
    assert len(discord.bot_messages(discord.general)) == 2, "told once, though the event came twice"


async def test_an_hourglass_does_not_stay_for_a_failure(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.discord_bot.reply.WAITS_UNNOTICED", 0.05)
    discord, bot = world.discord, f"<@{world.discord.bot.id}>"
    discord.faults.add(ServerError(503), method="DELETE")
    world.model.script.extend([Reply("slow", first_token_after=0.4), Reply("done")])
    await discord.say(discord.general, discord.bo, f"{bot} first")
    waiting = await discord.say(discord.general, discord.bo, f"{bot} second")
    await discord.wait_for(lambda: waiting.reactions.get("⏳") == [discord.bot])
    await discord.wait_for(lambda: not waiting.reactions.get("⏳"))
    await world.idle()


async def test_a_reset_whose_answer_fails_is_told_in_the_channel(world: World) -> None:
    discord = world.discord
    route = "/interactions/{interaction_id}/{interaction_token}/callback"
    discord.faults.add(ConnectionReset(), method="POST", route=route)
    await discord.slash(discord.cleo, discord.general, "reset")
    await world.reply(discord.general, "Cleo cleared my memory here")


async def test_commands_that_cannot_be_registered_do_not_keep_the_bot_away(
    discord: DiscordStandin, start: Start
) -> None:
    discord.faults.add(ServerError(503), method="GET", route="/applications/{application_id}/commands")
    async with start() as world:
        await assert_the_next_prompt_works(world)


async def test_a_fatal_close_in_mid_reply_ends_the_bot_with_a_sentence(
    discord: DiscordStandin, model: ModelStandin, tmp_path: Path
) -> None:
    model.script.append(Reply(WORDS * 40, tokens_per_second=40))

    async def served() -> None:
        async with asyncio.timeout(10), serving(discord, model, tmp_path / "parley.db", asyncio.Event()):
            await discord.say(discord.general, discord.bo, f"<@{discord.bot.id}> tell me")
            await discord.wait_for(lambda: len(discord.bot_messages(discord.general)) == 1)
            await discord.gateway.drop(code=4004)
            await asyncio.sleep(10)

    with pytest.raises(ExceptionGroup) as failed:
        await served()
    assert failed.group_contains(DiscordError, match="Discord refused DISCORD_TOKEN")


async def test_the_end_comes_in_time_though_discord_is_down_and_is_shown_by_the_next_start(
    discord: DiscordStandin, start: Start
) -> None:
    async with start() as world:
        world.model.script.append(Reply(WORDS * 40, tokens_per_second=40))
        await discord.say(discord.general, discord.bo, f"<@{discord.bot.id}> tell me")
        message = await world.reply(discord.general, "word0")
        discord.faults.add(ServerError(503), method="PATCH", times=math.inf)
        began = time.monotonic()
    assert time.monotonic() - began < 0.2 + 3.5
    assert "restarted" not in message.content
    discord.faults.clear()
    async with start() as world:
        await discord.wait_for(lambda: message.content.endswith("-# I was restarted and couldn't finish."))
        await world.idle()
    assert len(discord.bot_messages(discord.general)) == 1


async def test_a_prompt_while_the_bot_ends_is_told_so(discord: DiscordStandin, start: Start) -> None:
    bot = f"<@{discord.bot.id}>"
    async with start() as world:
        world.model.script.append(Reply(WORDS, tokens_per_second=5))
        await discord.say(discord.general, discord.bo, f"{bot} tell me")
        await world.reply(discord.general, "word0")
        world.stop.set()
        await asyncio.sleep(0.05)
        await discord.say(discord.general, discord.cleo, f"{bot} hello?")
        await world.reply(discord.general, "-# I'm restarting. Please ask again in a minute.", count=2)


async def assert_the_next_prompt_works(world: World) -> None:
    discord, bot = world.discord, f"<@{world.discord.bot.id}>"
    discord.faults.clear()
    await world.idle()
    world.model.default = Reply("Here I am.")
    await discord.say(discord.general, discord.cleo, f"{bot} are you there?")
    await world.reply(discord.general, "Here I am.")
    await world.idle()
