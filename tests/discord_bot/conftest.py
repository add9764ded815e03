"""The whole bot in this process: the unmodified discord.py and openai clients, against the stand-ins, over sockets."""

from __future__ import annotations

import asyncio
import inspect
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from bot.config import ListenAddress, ModelServerSettings
from bot.core.access import AccessSettings, Denial
from bot.core.figures import Figures
from bot.core.gate import Gate
from bot.core.generation_settings import GenerationSettings
from bot.core.model_servers import ModelServer, ModelServers
from bot.core.queues import QueueLimits
from bot.core.quotas import Quotas
from bot.core.service import ConversationService
from bot.discord_bot.delivery.notices import Notices
from bot.discord_bot.endpoint import connect_to
from bot.discord_bot.health import HealthChecks
from bot.discord_bot.options import Options
from bot.discord_bot.runner import run
from bot.llm.client import OpenAIModel
from bot.llm.demo import demo_reply
from bot.llm.servers import ModelRouter
from bot.llm.timeouts import Timeouts
from bot.operator.health import publish_health
from bot.standin.entities import Channel, Guild, Message, User
from bot.standin.interactions import Interaction
from bot.standin.model import ModelStandin, Request
from bot.standin.script import Reply
from bot.standin.server import DiscordStandin
from bot.standin.sessions import Frame
from bot.standin.sharding import Sharding
from bot.standin.transcript import transcript
from bot.store import Store
from bot.store.databases import Database, DatabaseServer, open_store
from bot.store.gated import GatedEngine
from bot.store.part import Part
from tests import forkserver
from tests.discord_bot.outages import Outage
from tests.discord_bot.people import ask, shown
from tests.places import on_discord
from tests.waiting import FOR_A_PROCESS, PATIENCE, WHAT_IS_TRUE, until


@dataclass
class World:
    """What a test has in hand: Discord, the model's server, and the bot between them."""

    discord: DiscordStandin
    model: ModelStandin
    store: Store
    conversations: ConversationService
    stop: asyncio.Event
    figures: Figures

    async def ask(self, text: str = "why?", channel: Channel | None = None, author: User | None = None) -> Message:
        """Mention the bot, as Bo in #general unless told otherwise."""
        return await ask(self.discord, text, channel, author)

    async def ask_and_wait(
        self, text: str = "why?", channel: Channel | None = None, author: User | None = None
    ) -> Message:
        """Ask, and wait until the prompt is answered or refused and nothing is under way; the prompt."""
        said = await self.ask(text, channel, author)
        await self.taken(said)
        return said

    async def answered(self, text: str = "why?", channel: Channel | None = None, author: User | None = None) -> Message:
        """Ask, and wait for the whole reply, which is returned."""
        place = channel or self.discord.general
        count = len(self.discord.bot_messages(place)) + 1
        await self.ask(text, place, author)
        reply = await self.reply(place, count=count)
        await self.idle()
        return reply

    async def press(self, message: Message, person: User | None = None, button: str | None = None) -> Interaction:
        """Press a button of a message: the only one, as Bo, unless told otherwise."""
        if button is None:
            [only] = message.buttons
            button = str(only["custom_id"])
        return await self.discord.press(person or self.discord.bo, message, button)

    def shown(self, channel: Channel | None = None) -> list[str]:
        """The texts of the bot's messages in a channel, or in #general."""
        return shown(self.discord, channel)

    async def reply(self, channel: Channel, containing: str = "", count: int = 1) -> Message:
        """The newest of the bot's messages in a channel, once there are `count` and it reads like this."""

        def there() -> bool:
            messages = self.discord.bot_messages(channel)
            return len(messages) >= count and containing in messages[-1].content

        await self.discord.wait_for(there)
        return self.discord.bot_messages(channel)[-1]

    async def asked(self, number: int) -> Request:
        """The model server's request of that number, from 0, once it has come."""
        async with asyncio.timeout(PATIENCE):
            return await self.model.request(number)

    async def until(self, ask: Callable[[], object], answer: object = WHAT_IS_TRUE) -> None:
        """Wait as `tests.waiting.until` does; on a timeout AssertionError shows what the channels hold too."""
        try:
            await until(ask, answer, self.discord.patience)
        except AssertionError as error:
            shown = transcript(self.discord.world.channels.values(), self.discord.requests)
            raise AssertionError(f"{error}. The channels show:\n{shown}") from None

    async def idle(self, within: float = PATIENCE) -> None:
        """Wait until no reply is under way, and no prompt about to be saved."""
        async with asyncio.timeout(within):
            await self.conversations.idle()

    async def taken(self, said: Message) -> None:
        """Wait until a prompt is on record as answered or refused, and nothing is under way.

        What is refused in a server that is not served is on no record.
        """
        await self.until(partial(self._is_taken, said.id))
        await self.idle()

    async def _is_taken(self, message_id: int) -> bool:
        return message_id in REFUSED or bool(await self.store.processed.among([message_id]))

    async def caught_up(self) -> None:
        """Wait until what came before it was there is answered: what is asked now is answered after all that."""
        listed = partial(self.discord.calls, "GET", "/channels/{channel_id}/messages")
        await self.discord.wait_for(lambda: any(call.answered for call in listed()))
        place = self.discord.add_channel("quiet")
        await self.discord.say(place, self.discord.ada, f"<@{self.discord.bot.id}> anybody?")
        await self.reply(place)
        await self.idle()
        # For the next start.
        self.discord.requests.clear()

    async def turns(self, channel: Channel) -> list[tuple[str, str, str]]:
        """Prompt, reply and state of what is remembered of a channel, oldest first."""
        kept = await self.store.turns.history(on_discord(channel.id), 100)
        return [(turn.prompt, turn.reply, turn.state.value) for turn in reversed(kept)]


RUN = """
import sys
from bot.cli import main
from bot.discord_bot.delivery.notices import Notices
from bot.discord_bot.endpoint import connect_to
from bot.discord_bot.health import HealthChecks
with connect_to(*sys.argv[1:]):
    sys.exit(main([]))
"""

MESSAGES_PER_REPLY = 5
COMMANDS = "/applications/{application_id}/commands"
OPTIONS = Options(grace=0.2, messages_per_reply=MESSAGES_PER_REPLY)
ALLOWANCES = Quotas(
    hourly_questions_per_user=10**6,
    daily_tokens_per_user=10**9,
    daily_tokens_per_server=10**9,
    daily_tokens_total=10**9,
)
"""More than anybody needs."""
Start = Callable[..., AbstractAsyncContextManager[World]]
Launch = Callable[..., AbstractAsyncContextManager[asyncio.subprocess.Process]]


AT_ONCE = Sharding(identify_every=0.0, max_concurrency=16)


@pytest.fixture
def shards(request: pytest.FixtureRequest) -> int:
    """How many shards Discord recommends to the bot: a test's parameter, or else what `--shards` says.

    With three, direct messages, the first server and the second one are on different shards.
    """
    number: int = getattr(request, "param", request.config.getoption("--shards"))
    return number


one_and_three_shards = pytest.mark.parametrize("shards", [1, 3], indirect=True)
"""Runs a test or a module with one shard and with three, whatever `--shards` says."""


@pytest.fixture
async def discord(request: pytest.FixtureRequest, shards: int) -> AsyncIterator[DiscordStandin]:
    """Discord, as `@pytest.mark.standin(...)` wants it. A bot that starts again at once does not have to wait."""
    marker = request.node.get_closest_marker("standin")
    sharding = replace(AT_ONCE, least_recommended=shards)
    async with DiscordStandin(**{"sharding": sharding, **(marker.kwargs if marker else {})}) as standin:
        standin.patience = PATIENCE
        with connect_to(standin.url, standin.gateway_url, standin.cdn_url):
            yield standin
        assert standin.unknown_routes == []
        assert standin.violations == []


@pytest.fixture
async def model() -> AsyncIterator[ModelStandin]:
    async with ModelStandin(default=Reply(demo_reply)) as standin:
        yield standin


@pytest.fixture
def echo(model: ModelStandin) -> None:
    """The model says what it was asked."""
    model.default = Reply(lambda messages: f"To {messages[-1].content.splitlines()[-1]}.")


REFUSED: set[int] = set()
"""The messages that were refused in this test, whether or not people were told."""


@pytest.fixture(autouse=True)
def refusals(monkeypatch: pytest.MonkeyPatch) -> None:
    """Note which messages are refused."""
    refuse = Notices.denied

    async def denied(notices: Notices, message: Any, denied: Denial) -> None:
        await refuse(notices, message, denied)
        REFUSED.add(message.id)

    REFUSED.clear()
    monkeypatch.setattr(Notices, "denied", denied)


@dataclass
class Held:
    """The first call of a store's method that is held up."""

    begun: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)


@pytest.fixture
def hold(monkeypatch: pytest.MonkeyPatch) -> Callable[[type[Part], str], Held]:
    def hold(part: type[Part], name: str) -> Held:
        method, held = getattr(part, name), Held()

        async def holding(*details: Any, **more: Any) -> Any:
            if not held.begun.is_set():
                held.begun.set()
                await held.go_on.wait()
            return await method(*details, **more)

        monkeypatch.setattr(part, name, holding)
        return held

    return hold


@pytest.fixture
def eve(discord: DiscordStandin) -> User:
    """Somebody who knows nobody, and has invited the bot to a server of her own."""
    return discord.world.add_user("eve", "Eve")


@pytest.fixture
def elsewhere(discord: DiscordStandin, eve: User) -> Guild:
    return discord.add_guild("Elsewhere", eve)


@pytest.fixture
def lobby(discord: DiscordStandin, elsewhere: Guild) -> Channel:
    return discord.add_channel("lobby", elsewhere)


def commands_are_settled(discord: DiscordStandin) -> bool:
    """Whether people find the bot's commands, or Discord failed to take them."""
    calls = (*discord.calls("GET", COMMANDS), *discord.calls("PUT", COMMANDS))
    return bool(discord.commands.registered(None)) or any(call.status >= 400 for call in calls)


@asynccontextmanager
async def serving(
    discord: DiscordStandin,
    model: ModelStandin,
    database: Database,
    stop: asyncio.Event,
    *,
    patience: float | None = None,
    options: Options = OPTIONS,
    models: Sequence[str] = ("demo",),
    further: Mapping[str, ModelStandin] = MappingProxyType({}),
    fallback_model: str | None = None,
    transcription_model: str | None = None,
    provider: str = "OpenAI",
    limits: QueueLimits = QueueLimits(),  # noqa: B008 -- it is frozen
    allowances: Quotas = ALLOWANCES,
    reply_tokens: int = 4000,
    context_tokens: int = 8000,
    summaries: bool = False,
    clock: Callable[[], float] = time.time,
    about_memory: str = "",
    metrics: ListenAddress | None = None,
    gate: Gate | None = None,
) -> AsyncIterator[World]:
    """The bot on a database, until the end of the block or `stop`.

    Its model may be silent for `patience` seconds, or for as long as any wait if that is not given. `further` are its
    model servers with a name; the provider of `home` is `home.example`.
    """
    servers = ModelServers(
        ModelServer(provider), {name: ModelServer(f"{name}.example", each.base_url) for name, each in further.items()}
    )
    figures = Figures()

    @asynccontextmanager
    async def publish(checks: HealthChecks) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(publish_health(database, checks))
            if metrics is not None:
                from bot.operator.metrics import serve_metrics

                await stack.enter_async_context(serve_metrics(metrics, figures, checks))
            yield

    async with (
        open_store(database, exclusive=True, clock=clock, figures=figures) as own,
        nullcontext(own if gate is None else Store(GatedEngine(own.engine, gate, ("SELECT 1", {})), clock)) as store,
        ModelRouter(
            servers,
            {
                name: OpenAIModel(
                    ModelServerSettings(each.base_url),
                    timeouts=Timeouts(
                        first_delta=2 * patience if patience else PATIENCE,
                        silence=patience or PATIENCE,
                        retry_within=0.5 * (patience or 1.0),
                    ),
                    facts=store.server_facts,
                    clock=clock,
                )
                for name, each in {"": model, **further}.items()
            },
        ) as client,
        ConversationService(
            store,
            client,
            GenerationSettings(
                models=tuple(models),
                system_prompt="Be brief.",
                context_tokens=context_tokens,
                summaries=summaries,
                fallback_model=fallback_model,
                transcription_model=transcription_model,
                servers=servers,
                reply_tokens=reply_tokens,
                quotas=allowances,
                prices=options.prices,
                about_memory=about_memory,
            ),
            limits,
            figures=figures,
        ) as core,
        asyncio.TaskGroup() as tasks,
    ):
        tasks.create_task(
            run(
                discord.token,
                store,
                core,
                options,
                stop=stop,
                list_models=client.listings,
                publish_health=publish,
                figures=figures,
                gate=gate,
            )
        )
        await discord.ready()
        await discord.wait_for(lambda: commands_are_settled(discord))
        yield World(discord, model, store, core, stop, figures)
        stop.set()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test of both engines on both, unless it looks into the folder of SQLite's file."""
    looks_into_it = "tmp_path" in inspect.signature(metafunc.function).parameters
    if "file" in metafunc.fixturenames and metafunc.definition.get_closest_marker("both_engines") and not looks_into_it:
        metafunc.parametrize("file", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture
def file(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    """The database of the bot: a file, or for a test of both engines once a file and once a database on a server."""
    if getattr(request, "param", "sqlite") == "sqlite":
        return tmp_path / "parley.db"
    monkeypatch.setattr("bot.operator.health._FOLDER", tmp_path)
    return DatabaseServer(request.getfixturevalue("postgresql_url"))


@pytest.fixture
def start(discord: DiscordStandin, model: ModelStandin, file: Database) -> Start:
    """Start the bot, on the same database every time; `serving` says what may be given."""
    return lambda **how: serving(discord, model, file, asyncio.Event(), **how)


@pytest.fixture
def serve(start: Start) -> Start:
    """Start it with other rules of the operator's on who may use it, as those of `Access`."""
    return lambda **access: start(options=replace(OPTIONS, access=AccessSettings(**access)))


@pytest.fixture
async def world(start: Start) -> AsyncIterator[World]:
    async with start() as world:
        yield world


@pytest.fixture
def outage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Outage]:
    """A database that can be away. Something has to be asked of it meanwhile."""
    found = Outage(monkeypatch)
    yield found
    assert found.refused, "nothing was asked of the database meanwhile"


@pytest.fixture
def launch(discord: DiscordStandin, model: ModelStandin, tmp_path: Path, file: Database) -> Launch:
    """Start `python -m bot` against the stand-ins; settings may be given by name. Every wait may then take minutes.

    Another program than that may be given, and what it is told after the addresses. An interpreter of its own is
    started for it if it is to be `alone`.
    """

    @asynccontextmanager
    async def launched(
        program: str = RUN, *arguments: str, alone: bool = False, **settings: str
    ) -> AsyncIterator[asyncio.subprocess.Process]:
        discord.patience = FOR_A_PROCESS
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(Path.cwd()),
            "DISCORD_TOKEN": discord.token,
            "OPENAI_BASE_URL": model.base_url,
            **({"DATABASE_URL": file.url} if isinstance(file, DatabaseServer) else {"DATABASE_PATH": str(file)}),
            "SHUTDOWN_GRACE": "0.3",
            **settings,
        }
        command = ("-c", program, discord.url, discord.gateway_url, discord.cdn_url, *arguments)
        start = partial(asyncio.create_subprocess_exec, sys.executable) if alone else forkserver.start
        process = await start(*command, env=environment, cwd=tmp_path, stderr=asyncio.subprocess.PIPE)
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()

    return launched


def identified(discord: DiscordStandin) -> list[tuple[float, int]]:
    """When each shard identifies itself, from now on."""
    times: list[tuple[float, int]] = []

    def listen(frame: Frame) -> None:
        if frame.name == "IDENTIFY":
            times.append((time.monotonic(), frame.data["shard"][0]))

    discord.gateway.on_frame.append(listen)
    return times
