"""The page in a real Chromium, on the whole playground in this process.

One browser serves all tests of a test process, so these tests and their fixtures share one event loop. Whatever a test
does, no page may log an error, open a dialog or ask any other host for anything.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Dialog,
    Locator,
    Page,
    expect,
)

from bot.config import Settings
from bot.conversation import Conversations
from bot.playground import playground
from bot.store import SQLiteStore
from tests.playground.browser.chromium import NoChromium, chromium

_PATIENCE_MS = 15_000
expect.set_options(timeout=_PATIENCE_MS)


class Tab:
    """A page, and what a person looks for and does on it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.composer = page.get_by_role("combobox", name=re.compile("^Message"))
        self.log = page.get_by_role("log", name="Messages")
        self.messages = self.log.get_by_role("article")
        self.channels = page.get_by_role("navigation", name="Channels")

    def message(self, text: str | re.Pattern[str]) -> Locator:
        """The newest one with that text, its quoted line and its author's name included."""
        return self.messages.filter(has_text=text).last

    def button(self, name: str | re.Pattern[str]) -> Locator:
        return self.page.get_by_role("button", name=name, exact=isinstance(name, str))

    async def say(self, text: str) -> Locator:
        """Write and send; the message as it then stands in the log."""
        before = await self.messages.count()
        await self.composer.fill(text)
        await self.composer.press("Enter")
        await expect(self.messages.nth(before)).to_be_visible()
        return self.messages.nth(before)

    async def menu(self, message: Locator, item: str) -> None:
        """Choose from the menu of a message."""
        await message.click(button="right", position={"x": 200, "y": 8})
        await self.page.get_by_role("menuitem", name=item).click()

    async def go(self, place: str) -> None:
        """Open a channel of the left column."""
        await self.channels.get_by_role("button", name=place, exact=True).click()
        await expect(self.page.get_by_role("heading", name=place, level=2).first).to_be_visible()

    async def speak_as(self, person: str) -> None:
        """Become somebody else in this tab."""
        await self.button(re.compile("^You speak as")).click()
        await self.page.get_by_role("menuitemradio", name=person).click()
        await expect(self.button(re.compile(f"^You speak as {person}"))).to_be_visible()


Visit = Callable[..., Awaitable[Tab]]


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    try:
        async with chromium() as started:
            yield started
    except NoChromium as reason:
        pytest.skip(str(reason))


@pytest_asyncio.fixture(loop_scope="session")
async def address(browser: Browser, tmp_path: Path) -> AsyncIterator[str]:
    """Where the page of a fresh playground with the offline demo is."""
    settings, database = Settings.load({}, env_file=None), tmp_path / "playground.db"
    stop = asyncio.Event()
    said: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with SQLiteStore.open(database, exclusive=True) as store, asyncio.TaskGroup() as tasks:
        running = playground(
            settings,
            store,
            lambda model: Conversations(
                store, model, model_key="", system_prompt="Be brief.", context_tokens=settings.context_tokens
            ),
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
async def visit(browser: Browser, address: str) -> AsyncIterator[Visit]:
    """Open the page, speaking as somebody, in a window of its own: a tab behind another one draws nothing."""
    wrong: list[str] = []

    async def opened(person: str = "Ada", *, width: int = 1280, height: int = 800) -> Tab:
        window = await windows.enter_async_context(
            await browser.new_context(viewport={"width": width, "height": height})
        )
        watch(window, address, wrong)
        tab = Tab(await window.new_page())
        await tab.page.goto(address)
        await expect(tab.composer).to_be_editable()
        if person != "Ada":
            await tab.speak_as(person)
        return tab

    async with AsyncExitStack() as windows:
        yield opened
    assert wrong == []


def watch(window: BrowserContext, address: str, wrong: list[str]) -> None:
    """Note what no page of ours does."""

    def asked(url: str) -> None:
        if not url.startswith((address, address.replace("http", "ws", 1), "data:")):
            wrong.append(f"request to {url}")

    def logged(line: ConsoleMessage) -> None:
        if line.type in ("error", "warning"):
            wrong.append(line.text)

    async def refuse(dialog: Dialog) -> None:
        wrong.append(f"dialog: {dialog.message}")
        await dialog.dismiss()

    window.set_default_timeout(_PATIENCE_MS)
    window.on("request", lambda request: asked(request.url))
    window.on("page", lambda page: page.on("websocket", lambda socket: asked(socket.url)))
    window.on("console", logged)
    window.on("weberror", lambda error: wrong.append(str(error.error)))
    window.on("dialog", refuse)
