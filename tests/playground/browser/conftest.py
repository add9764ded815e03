"""The page in a real Chromium, on the whole playground in this process.

One browser serves all tests of a test process, so these tests and their fixtures share one event loop. Whatever a test
does, no page may log an error, open a dialog or ask any other host for anything.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import (
    Browser,
    ConsoleMessage,
    Dialog,
    Locator,
    Page,
    expect,
)

from bot.config import Settings
from bot.core.figures import Figures
from bot.core.service import ConversationService
from bot.playground import or_demo, playground
from bot.store.sqlite import open_store
from tests.playground.browser.chromium import NoChromium, chromium
from tests.waiting import FOR_A_PROCESS

# Chromium draws and runs the page's scripts in processes of its own.
_PATIENCE_MS = FOR_A_PROCESS * 1000
expect.set_options(timeout=_PATIENCE_MS)


class Tab:
    """A page, and what a person looks for and does on it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.composer = page.get_by_role("textbox", name=re.compile("^Message"))
        self.log = page.get_by_role("log", name="Messages")
        self.messages = self.log.get_by_role("article")
        self.channels = page.get_by_role("navigation", name="Channels")
        # Messages have headings too.
        self.place = page.locator("header h1")

    async def drawer(self, part: str = "Make something fail") -> Locator:
        """Open what Discord sees, with one of its parts: the switches that make something fail, or the settings."""
        await self.button("What Discord sees").click()
        drawer = self.page.get_by_role("complementary", name="What Discord sees")
        await drawer.locator("summary", has_text=part).click()
        return drawer

    def message(self, text: str | re.Pattern[str]) -> Locator:
        """The newest one with that text, its quoted line and its author's name included."""
        return self.messages.filter(has_text=text).last

    def button(self, name: str | re.Pattern[str]) -> Locator:
        return self.page.get_by_role("button", name=name, exact=isinstance(name, str))

    async def write(self, text: str) -> None:
        """Fill the composer as a person does: after a dialog is gone, which keeps the focus until it is taken away."""
        await expect(self.page.locator("dialog")).to_have_count(0)
        await self.composer.fill(text)

    async def say(self, text: str, shown: str | None = None) -> Locator:
        """Write and send; the message as it then stands in the log, where it reads as `shown`."""
        await self.write(text)
        await self.composer.press("Enter")
        newest = self.message(shown or text)
        await expect(newest).to_be_visible()
        return self.page.locator(f"#{await newest.get_attribute('id')}")

    async def command(self, text: str, *values: str) -> None:
        """Type a command and what its options are to be, and send it, all by keyboard."""
        await self.write(text)
        await self.composer.press("Enter")
        for value in values:
            await self.page.keyboard.type(value)
            await self.page.keyboard.press("Enter")
        await self.page.keyboard.press("Enter")

    async def menu(self, message: Locator, item: str) -> None:
        """Choose from the menu of a message."""
        await message.click(button="right", position={"x": 200, "y": 8})
        await self.page.get_by_role("menuitem", name=item).click()

    async def go(self, place: str) -> None:
        """Open a channel of the left column."""
        await self.channels.get_by_role("button", name=place, exact=True).click()
        await expect(self.place).to_have_text(place)

    async def speak_as(self, person: str) -> None:
        """Become somebody else in this tab."""
        await self.button(re.compile("^You speak as")).click()
        await self.page.get_by_role("menuitemradio", name=person).click()
        # In a narrow window the column has closed by now, and is only heard of in its attributes.
        await expect(self.page.locator("#me")).to_have_attribute("aria-label", re.compile(f"^You speak as {person}"))


class Window:
    """Notes what no page of ours does: an error in the console, a dialog, a request to anybody else."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.address = ""
        self._wrong: list[str] = []
        page.set_default_timeout(_PATIENCE_MS)
        page.on("websocket", lambda socket: self._asked(socket.url.replace("ws", "http", 1)))
        page.context.on("request", lambda request: self._asked(request.url))
        page.context.on("console", self._logged)
        page.context.on("weberror", lambda error: self._wrong.append(str(error.error)))
        page.context.on("dialog", self._refuse)

    def end(self) -> list[str]:
        """All that was noted since the last end."""
        wrong, self._wrong = self._wrong, []
        return wrong

    def _asked(self, url: str) -> None:
        if not url.startswith((self.address, "data:")):
            self._wrong.append(f"request to {url}")

    def _logged(self, line: ConsoleMessage) -> None:
        if line.type in ("error", "warning"):
            self._wrong.append(line.text)

    async def _refuse(self, dialog: Dialog) -> None:
        self._wrong.append(f"dialog: {dialog.message}")
        await dialog.dismiss()


Visit = Callable[..., Awaitable[Tab]]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    try:
        async with chromium() as started:
            yield started
    except NoChromium as reason:
        pytest.skip(str(reason))


@asynccontextmanager
async def demo_playground(database: Path) -> AsyncIterator[str]:
    """The address of the page of a playground with the offline demo, which runs during the block."""
    settings = or_demo(Settings.load({}, env_file=None, default_limits=False))
    stop = asyncio.Event()
    said: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    figures = Figures()
    async with open_store(database, exclusive=True, figures=figures) as store, asyncio.TaskGroup() as tasks:
        running = playground(
            settings,
            store,
            lambda model: ConversationService(
                store,
                model,
                replace(settings.generation, system_prompt="Be brief.", quotas=settings.quotas),
                figures=figures,
            ),
            figures,
            port=0,
            database=database,
            open_browser=False,
            stop=stop,
            say=said.set_result,
        )
        tasks.create_task(running)
        yield next(word for word in (await said).split() if word.startswith("http"))
        stop.set()


@pytest_asyncio.fixture(loop_scope="session")
async def address(browser: Browser, tmp_path: Path) -> AsyncIterator[str]:
    """Where the page of a fresh playground with the offline demo is."""
    async with demo_playground(tmp_path / "playground.db") as at:
        yield at


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def free() -> list[Window]:
    """Windows that no test is using. Nothing in them outlasts a test: every playground is an origin of its own."""
    return []


@pytest_asyncio.fixture(loop_scope="session")
async def visit(browser: Browser, free: list[Window], address: str) -> AsyncIterator[Visit]:
    """Open the page, speaking as somebody, in a window of its own: a tab behind another one draws nothing."""
    used: list[Window] = []

    async def opened(person: str = "Ada", *, width: int = 1280, height: int = 800) -> Tab:
        window = free.pop() if free else Window(await (await browser.new_context()).new_page())
        used.append(window)
        await window.page.set_viewport_size({"width": width, "height": height})
        window.address = address
        tab = Tab(window.page)
        await tab.page.goto(address)
        await expect(tab.composer).to_be_editable()
        if person != "Ada":
            await tab.speak_as(person)
        return tab

    yield opened
    for window in used:
        await window.page.goto("about:blank")
    free += used
    assert [each for window in used for each in window.end()] == []
