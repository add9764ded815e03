"""Whatever the model's server does, and whenever: what the person sees, which button, and that nothing is left over."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import random
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain, cycle, repeat
from pathlib import Path

import pytest
from discord import Message as ReceivedMessage

from bot.core.attempt import ActiveAttempt
from bot.core.queues import Queues
from bot.core.turns import Prompt
from bot.discord_bot.delivery.messages import ReplyMessages
from bot.discord_bot.delivery.pacing import Budget
from bot.discord_bot.delivery.reactions import Reactions
from bot.discord_bot.delivery.reconciler import LiveReply
from bot.discord_bot.delivery.scheduler import Scheduler
from bot.standin.entities import Channel, Message
from bot.standin.limits import Limit
from bot.standin.model import ModelStandin
from bot.standin.script import REFUSALS, Drop, Raw, Refusal, Reply, Step
from bot.standin.server import TYPING_SECONDS, DiscordStandin
from bot.standin.world import Keep
from tests.discord_bot.conftest import World, serving
from tests.llm.wire import DONE, STOP, data, say
from tests.waiting import PATIENCE

pytestmark = pytest.mark.virtual_time

UNREACHABLE = "-# My model isn't answering right now. Your question is saved."
BROKEN = "-# The answer broke off."
BUSY = "-# My model is busy. Try again in a moment."
WAITS = {
    "7": "7 s",
    "600": "10 minutes",
    "43200": "12 hours",
    "inf": "24 hours",
    "1e309": "24 hours",
    "Fri, 06 Nov 2099 08:49:37 GMT": "24 hours",
    "nan": "a moment",
    "-1": "a moment",
}
SETUP = "-# I can't reach my AI provider. My owner has been told."
DECLINED = "-# The model's provider declined this one. Rewording may help."
CUT = "-# Cut at the length limit."
OUT_OF_ROOM = "-# I ran out of room before I could answer. Try again, or ask for something shorter."
EMPTY = "-# The model had nothing to say. Try rewording."
TOO_LONG = "-# That's more than my model can read at once. A shorter message may work."
RETRY, CONTINUE = "Retry", "Continue"

WORDS = ["one ", "two ", "three ", "four ", "five ", "six."]
SLOWLY = Reply(WORDS, tokens_per_second=40)
BLANK = " \n\u200b\u2060"
HALF, ALL = "one two three", "one two three four five six."
Ending = tuple[str, str | None, str | None]
"""The text that is kept, the sentence under it, and the button under that."""
WHOLE: Ending = (ALL, None, None)


PHASES = [("before the first token", 0, ""), ("in mid-stream", 3, HALF), ("at the end", 6, ALL)]


def in_every_phase(fault: str, broken: Callable[[int], Step]) -> list[tuple[str, Step, Ending]]:
    """The fault of a server that goes wrong after so many of its deltas."""
    return [
        (f"{fault}, {phase}", broken(after), (text, BROKEN if text else UNREACHABLE, RETRY))
        for phase, after, text in PHASES
    ]


def pieces(after: int, *behind: bytes) -> Raw:
    return Raw([*map(say, WORDS[:after]), *behind], pause=0.02)


REFUSED: dict[str, tuple[str, str | None]] = {
    "bad key": (SETUP, None),
    "forbidden": (SETUP, None),
    "unknown model": (SETUP, None),
    "unknown model (Ollama)": (SETUP, None),
    "unknown address": (SETUP, None),
    "quota": (SETUP, None),
    "no credit (OpenRouter)": (SETUP, None),
    "rate limit": (BUSY, RETRY),
    "context too long": (TOO_LONG, None),
    "context too long (llama.cpp)": (TOO_LONG, None),
    "context too long (vLLM)": (TOO_LONG, None),
    "context too long (LM Studio)": (TOO_LONG, None),
    "context too long (a proxy)": (TOO_LONG, None),
    "content filter": (DECLINED, None),
    "bad request (FastAPI)": (SETUP, None),
    "server error": (UNREACHABLE, RETRY),
    "bad gateway": (UNREACHABLE, RETRY),
    "overloaded": (UNREACHABLE, RETRY),
}
FAULTS: list[tuple[str, Step, Ending]] = [
    *((name, refusal, ("", *REFUSED[name])) for name, refusal in REFUSALS.items()),
    *(
        (
            f"rate limit, with Retry-After: {value}",
            replace(REFUSALS["rate limit"], headers={"Retry-After": value}),
            ("", f"-# My model is busy. Try again in {wait}.", RETRY),
        )
        for value, wait in WAITS.items()
    ),
    (
        "overloaded, with Retry-After",
        replace(REFUSALS["overloaded"], headers={"Retry-After": "7"}),
        ("", UNREACHABLE, RETRY),
    ),
    ("an empty refusal", Refusal(418, ""), ("", SETUP, None)),
    ("dropped", Drop(), ("", UNREACHABLE, RETRY)),
    *in_every_phase("cut", lambda after: replace(SLOWLY, cut_after=after)),
    *in_every_phase("stall", lambda after: replace(SLOWLY, stall_after=after)),
    ("stall with pings, in mid-stream", replace(SLOWLY, stall_after=3, ping_every=0.1), (HALF, BROKEN, RETRY)),
    *in_every_phase("error event", lambda after: replace(SLOWLY, error_after=after)),
    *in_every_phase("half a chunk", lambda after: pieces(after, b'data: {"choi\n\n', say("more"), STOP, DONE)),
    *in_every_phase("given up", lambda after: pieces(after, data({}, "error"), DONE)),
    ("a web page", Raw([b"<html>Welcome</html>"], "text/html"), ("", SETUP, None)),
    ("nothing", Raw([]), ("", UNREACHABLE, RETRY)),
    ("noise", Raw([b"\x00\xff\n\n" * 100]), ("", UNREACHABLE, RETRY)),
    ("neither end nor [DONE]", replace(SLOWLY, finish=None, done=False), (ALL, BROKEN, RETRY)),
    ("no [DONE]", replace(SLOWLY, done=False), WHOLE),
    ("no finish reason", replace(SLOWLY, finish=None), WHOLE),
    ("no usage", replace(SLOWLY, usage=False), WHOLE),
    ("cut behind the end", Raw([*map(say, WORDS), STOP], cut=True), WHOLE),
    (
        "not streamed",
        Raw([b'{"choices": [{"message": {"content": "one two"}}]}'], "application/json"),
        ("one two", None, None),
    ),
    ("length", replace(SLOWLY, finish="length"), (ALL, CUT, CONTINUE)),
    ("length, without a word", Reply("", finish="length"), ("", OUT_OF_ROOM, RETRY)),
    ("length, blank", Reply(BLANK, finish="length"), ("", OUT_OF_ROOM, RETRY)),
    ("length, in its thoughts", Reply("", reasoning="so long", finish="length"), ("", OUT_OF_ROOM, RETRY)),
    ("content filter, at the end", replace(SLOWLY, finish="content_filter"), (ALL, DECLINED, None)),
    ("content filter, without a word", Reply("", finish="content_filter"), ("", DECLINED, None)),
    ("empty", Reply(""), ("", EMPTY, RETRY)),
    ("blank", Reply(BLANK), ("", EMPTY, RETRY)),
    ("reasoning only", Reply("", reasoning="hm, let me see"), ("", EMPTY, RETRY)),
    ("cut in its thoughts", Reply("", reasoning="hm, let me see", cut_after=2), ("", UNREACHABLE, RETRY)),
    ("stalled in its thoughts", Reply("", reasoning="hm, let me see", stall_after=2), ("", UNREACHABLE, RETRY)),
]


@pytest.fixture
async def hasty(discord: DiscordStandin, model: ModelStandin, tmp_path: Path) -> AsyncIterator[World]:
    """The bot with little patience for its model."""
    discord.limits.messages = Limit(5, 0.1)
    async with serving(discord, model, tmp_path / "parley.db", asyncio.Event(), patience=1.0) as world:
        yield world


@pytest.mark.parametrize(("step", "ending"), [pytest.param(*rest, id=name) for name, *rest in FAULTS])
async def test_model_fault_is_explained_and_retryable(
    hasty: World, step: Step, ending: Ending, caplog: pytest.LogCaptureFixture
) -> None:
    world, discord = hasty, hasty.discord
    text, sentence, button = ending
    world.model.default = step
    prompt = await hasty.ask("tell me")
    message = await world.reply(discord.general, sentence or text)
    await world.idle()
    assert message.content == "\n".join(filter(None, [text, sentence]))
    assert labels(message) == [button] * (button is not None)
    turn = await world.store.turns.of_message(message.id)
    assert turn is not None
    assert (turn.reply.strip(BLANK), turn.failure is None) == (text, sentence is None), "on record as it is seen"
    assert prompt.reactions == {}
    # Typing that was asked for before the message may come after it. It ends by itself, unless it is asked for again.
    async with asyncio.timeout(TYPING_SECONDS + 2):
        while discord.typing(discord.general):
            await asyncio.sleep(0.1)
    if sentence in (UNREACHABLE, BROKEN, BUSY, SETUP, OUT_OF_ROOM):
        assert any(record.levelname == "WARNING" for record in caplog.records), "the operator is told"

    world.model.default = Reply("Here I am.")
    if button is not None:
        await hasty.press(message)
        begun = text if button == CONTINUE else ""
        await discord.wait_for(lambda: message.content == f"{begun}Here I am.")
        await world.idle()
        assert labels(message) == []
    await hasty.ask("are you there?", author=discord.cleo)
    await world.reply(discord.general, "Here I am.", count=2)
    await world.idle()
    assert len(discord.bot_messages(discord.general)) == 2


async def test_unreachable_model_server_is_explained(hasty: World) -> None:
    discord = hasty.discord
    await hasty.model.stop_listening()
    # Over the connection on which it listed its models.
    hasty.model.default = Drop()
    await hasty.ask("tell me")
    message = await hasty.reply(discord.general, UNREACHABLE)
    await hasty.idle()
    await hasty.model.listen()
    hasty.model.default = Reply("Here I am.")
    await hasty.press(message)
    await discord.wait_for(lambda: message.content == "Here I am.")
    await hasty.idle()


TURNS, ROOMS = 1000, 40
PER_TURN = 4
"""Blocks of memory that a turn may leave: an object with an attribute or two. A reply that is kept has hundreds."""


@pytest.fixture
def without_limits(discord: DiscordStandin, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Discord that takes all at once, and forgets it: what grows is the bot's."""
    monkeypatch.setattr("bot.discord_bot.delivery.scheduler.Budget", lambda: Budget(1000, 100))
    monkeypatch.setattr("bot.standin.server.TYPING_SECONDS", 0.5)
    monkeypatch.setattr("bot.standin.sessions._REPLAYED", 20)
    monkeypatch.setattr("bot.standin.channel_routes._NONCE_KEPT", 0.5)
    discord.limits.everything = None
    discord.limits.messages = Limit(50, 0.01)
    discord.limits.others["POST", "/channels/{channel_id}/typing"] = Limit(50, 0.01)


REPLIES = (Prompt, ActiveAttempt, LiveReply, ReplyMessages, ReceivedMessage)


def of_the_bot() -> list[object]:
    gc.collect()
    return [each for each in gc.get_objects() if isinstance(each, (Scheduler, Queues, Reactions, *REPLIES))]


def tasks() -> Counter[str]:
    """How many there are, by what they do."""
    return Counter(str(task.get_coro()).split()[2] for task in asyncio.all_tasks())


PASSING = {"OwnerAlerts.check", "ConnectionState._delay_ready"}
"""What goes on for a moment after a turn's end, or after the start, and no longer."""


@dataclass(frozen=True)
class Left:
    """What there is while nobody asks anything."""

    tasks: Counter[str]
    """By what they do; the stand-ins have one more for each connection."""
    held: list[object]
    """Of a reply; by any queue, by the scheduler, by the marks."""
    sockets: int
    blocks: int
    """Of memory, as Python gives it out."""

    @classmethod
    def now(cls, earlier: list[object]) -> Left:
        """`earlier` is what tests before this one have left, and is not counted."""
        ids = set(map(id, earlier))
        there = [each for each in of_the_bot() if id(each) not in ids]
        [scheduler] = [each for each in there if isinstance(each, Scheduler)]
        [queues] = [each for each in there if isinstance(each, Queues)]
        [marks] = [each for each in there if isinstance(each, Reactions)]
        held = [each for each in there if isinstance(each, REPLIES)]
        waiting = [queues._queues, scheduler._active, scheduler._calls, scheduler._best_effort, marks._working]
        names = tasks()
        del names["RequestHandler.start"]
        files = (os.path.realpath(file.path) for file in os.scandir("/proc/self/fd"))
        sockets = sum("socket:" in file for file in files)
        return cls(names, [*held, *filter(None, waiting)], sockets, sys.getallocatedblocks())


@pytest.mark.long
@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts the sockets in /proc")
@pytest.mark.standin(keep=Keep(messages=4, shown=1), keep_requests=20)
@pytest.mark.fault_may_miss("How many steps are taken depends on how often the client tries again.")
@pytest.mark.usefixtures("without_limits")
async def test_thousand_turns_leave_nothing_behind(
    discord: DiscordStandin, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR)
    earlier = of_the_bot()
    steps = [step for _, step, _ in FAULTS]
    random.Random(1).shuffle(steps)
    rooms = [discord.add_channel(f"room{n}") for n in range(ROOMS)]
    said = Counter[str]()

    async def talk(room: Channel, turns: int) -> None:
        for n in range(turns):
            prompt = await discord.say(room, discord.bo, f"{discord.bot.mention} {n}?")
            await discord.wait_for(partial(answers, prompt), 20)
            said.update(message.content for message in answers(prompt))

    async with (
        ModelStandin(keep_requests=10) as model,
        serving(discord, model, tmp_path / "parley.db", asyncio.Event(), patience=0.3) as world,
    ):

        async def after(turns: int) -> Left:
            pairs = zip(cycle(steps), repeat(Reply("Good."), turns), strict=False)
            # A step may be asked for more than once a turn.
            model.script.extend(chain.from_iterable(pairs))
            async with asyncio.TaskGroup() as talks:
                for room in rooms:
                    talks.create_task(talk(room, turns // ROOMS))
            await world.idle()
            async with asyncio.timeout(PATIENCE):
                while any(map(discord.typing, rooms)) or PASSING & tasks().keys():
                    await asyncio.sleep(0.05)
            # How many connections are kept open for another call depends on the machine, but none is for so long.
            await asyncio.sleep(120)
            return Left.now(earlier)

        # What is made once, at the first use, is there before the first count.
        before, then = await after(10 * ROOMS), await after(TURNS)
    assert TURNS / 4 < said["Good."] < said.total() - TURNS / 4
    assert then.tasks <= before.tasks
    assert then.held == before.held == []
    assert then.sockets <= before.sockets
    assert then.blocks - before.blocks < TURNS * PER_TURN
    assert caplog.messages == []


def answers(prompt: Message) -> list[Message]:
    return [message for message in prompt.channel.messages.values() if message.reply_to is prompt]


def labels(message: Message) -> list[str]:
    return [button["label"] for button in message.buttons]
