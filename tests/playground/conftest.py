"""The whole playground in this process, and tabs on it as a page's websocket would be."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from bot.config import Settings
from bot.core.figures import Figures
from bot.core.protocols import ChatModel
from bot.core.service import ConversationService
from bot.llm.demo import demo_reply
from bot.playground import playground
from bot.standin.model import ModelStandin
from bot.standin.script import Reply
from bot.store.sqlite import open_store
from tests.waiting import PATIENCE

Json = dict[str, Any]


class Tab:
    """Knows what a page knows: the latest of each kind of frame, and the messages of the open channel."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, patience: float) -> None:
        self.socket = socket
        self._patience = patience
        self.latest: dict[str, Json] = {}
        self.messages: dict[str, Json] = {}
        self.wire: dict[str, Json] = {}
        self.frames: list[Json] = []
        self._asked = 0
        self._answers: dict[int, Json] = {}
        self._came = asyncio.Event()
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        async for frame in self.socket:
            self._take(json.loads(frame.data))
            self._came.set()
        self.latest["closed"] = {}
        self._came.set()

    def _take(self, frame: Json) -> None:
        self.frames.append(frame)
        self.latest[frame["t"]] = frame
        match frame["t"]:
            case "opened":
                self.messages = {each["id"]: each for each in frame["messages"]}
            case "messages":
                self.messages |= {each["id"]: each for each in frame["list"]}
            case "gone":
                for message_id in frame["ids"]:
                    self.messages.pop(message_id, None)
            case "wire":
                self.wire |= {each["id"]: each for each in frame["list"]}
            case "done":
                self._answers[frame["n"]] = frame

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait until the frames make it true."""
        try:
            async with asyncio.timeout(self._patience):
                while not condition():
                    self._came.clear()
                    await self._came.wait()
        except TimeoutError:
            pytest.fail(
                f"not within {self._patience} s; the tab shows {[each['raw'] for each in self.messages.values()]}"
            )

    async def ask(self, do: str, **what: object) -> Json:
        """Ask for something; the whole answer."""
        self._asked += 1
        number = self._asked
        await self.socket.send_json({"n": number, "do": do, **what})
        await self.until(lambda: number in self._answers)
        return self._answers.pop(number)

    async def do(self, do: str, **what: object) -> Json:
        """Ask for something that must succeed."""
        answer = await self.ask(do, **what)
        assert answer["error"] is None, answer["error"]
        return answer

    async def refused(self, do: str, **what: object) -> str:
        """Ask for something that must not be done; the sentence why."""
        error = (await self.ask(do, **what))["error"]
        assert error is not None
        assert error.endswith((".", "…"))
        return str(error)

    async def say(self, content: str, **what: object) -> Json:
        """Write in the open channel; the message as this tab then sees it."""
        before = set(self.messages)
        await self.do(
            "say", **{"channel": self.channel, "content": content, "reply_to": None, "ping": True, "files": [], **what}
        )
        return next(each for each in self.messages.values() if each["id"] not in before and each["raw"] == content)

    @property
    def channel(self) -> str:
        return str(self.latest["opened"]["channel"])

    def id_of(self, name: str) -> str:
        """A person's, the bot's included."""
        return next(str(each["id"]) for each in self.latest["hello"]["people"] if each["name"] == name)

    def place(self, name: str) -> str:
        """A channel's id; the DM has the bot's name."""
        return next(str(each["id"]) for each in self.latest["places"]["channels"] if each["name"] == name)

    def switch(self, name: str) -> Json:
        return next(each for each in self.latest["switches"]["list"] if each["name"] == name)

    async def reply(self, containing: str) -> Json:
        """The bot's newest message here, once it reads like this."""
        await self.until(lambda: containing in self._newest_of_bot())
        return next(each for each in reversed(self.messages.values()) if each["author"]["bot"])

    def _newest_of_bot(self) -> str:
        return next((each["raw"] for each in reversed(self.messages.values()) if each["author"]["bot"]), "")

    async def shows(self, message: Json, field: str, wanted: object) -> None:
        """Wait until a message is shown with this in one of its fields."""
        await self.until(lambda: self.messages.get(message["id"], {}).get(field) == wanted)

    async def gone(self, message_id: str) -> None:
        """Wait until a message is no longer shown."""
        await self.until(lambda: message_id not in self.messages)

    async def closed(self) -> None:
        """Wait until the server has closed the connection."""
        await self.until(lambda: "closed" in self.latest)

    async def close(self) -> None:
        await self.socket.close()
        await self._reading


class Home:
    """The running playground. `url` is the page's address, `client` sends what a page sends.

    `patience`: the seconds in which it does anything.
    """

    def __init__(self, url: str, client: aiohttp.ClientSession, patience: float = PATIENCE) -> None:
        self.url = url
        self.client = client
        self._patience = patience
        self.origin = url.rsplit("/", 2)[0]
        self.tabs: list[Tab] = []

    async def upload(self, name: str, kind: str, data: bytes, **more: str) -> str:
        """Upload a file of a media type; its id. `more` is what a voice message says of itself."""
        query, headers = {"name": name, **more}, {"Content-Type": kind, "Origin": self.origin}
        async with self.client.post(f"{self.url}files", params=query, data=data, headers=headers) as answer:
            return str((await answer.json())["file"])

    async def tab(self, name: str = "Ada", channel: str | None = "general") -> Tab:
        """A new tab of somebody's, with a channel open."""
        tab = Tab(await self.client.ws_connect(f"{self.url}ws", headers={"Origin": self.origin}), self._patience)
        self.tabs.append(tab)
        await tab.until(lambda: {"hello", "places", "switches", "bot"} <= tab.latest.keys())
        await tab.do("as", user=tab.id_of(name))
        await tab.until(lambda: tab.latest["bot"]["state"] == "online")
        if channel is not None:
            await tab.do("open", channel=tab.place(channel))
        return tab


Open = Callable[..., Awaitable[Home]]


@pytest.fixture
async def model() -> AsyncIterator[ModelStandin]:
    """A model server of the operator's own."""
    async with ModelStandin(default=Reply(demo_reply)) as server:
        yield server


@pytest.fixture
async def home(model: ModelStandin, tmp_path: Path) -> AsyncIterator[Home]:
    async with playing(model, tmp_path / "playground.db") as opened:
        yield opened


@asynccontextmanager
async def playing(model: ModelStandin, database: Path, **more: str) -> AsyncIterator[Home]:
    """The playground with a model server, and with settings that are made for a server of the real Discord."""
    elsewhere = {"SERVERS": "1" * 18, "DIRECT_MESSAGES": "off", "ALLOWED_USERS": "2" * 18}
    settings = Settings.load({"OPENAI_BASE_URL": model.base_url, **elsewhere, **more}, env_file=None)
    stop = asyncio.Event()
    said: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with AsyncExitStack() as stack:
        figures = Figures()
        store = await stack.enter_async_context(open_store(database, exclusive=True, figures=figures))

        def conversations(switched: ChatModel) -> ConversationService:
            return ConversationService(
                store,
                switched,
                replace(
                    settings.generation,
                    models=("test", "test-large"),
                    system_prompt="Be brief.",
                    quotas=settings.quotas,
                ),
                figures=figures,
            )

        running = asyncio.create_task(
            playground(
                settings,
                store,
                conversations,
                figures,
                port=0,
                database=database,
                open_browser=False,
                stop=stop,
                say=said.set_result,
            )
        )
        client = await stack.enter_async_context(aiohttp.ClientSession())
        text = await said
        opened = Home(next(word for word in text.split() if word.startswith("http")), client)
        yield opened
        stop.set()
        async with asyncio.timeout(PATIENCE):
            await running
        for tab in opened.tabs:
            await tab.close()
