"""What the playground's page costs the browser: how smooth it stays, and what it keeps.

    python -m benchmarks.page

The playground is a process of its own, the page is open in a headless Chromium, and a second tab writes and edits on
behalf of a person. First 20 messages are edited 5 times a second each, while the page takes the time of every frame.
Then an hour of streaming is sent as fast as it goes: a reply every 20 seconds, edited once a second, which is Discord's
pace for one channel. The figures of memory are those after a garbage collection.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from playwright.async_api import Browser, CDPSession, Page, expect

from tests.playground.browser.chromium import chromium

MESSAGES = 20
EDITS_A_SECOND = 5
SECONDS = 15
REPLIES_AN_HOUR = 180
EDITS_A_REPLY = 20
QUARTERS = 4

_TEXT = """Here is **how it goes**, step by step, with a `name` or two:
1. Read the *question*, and what was said before it.
2. Answer in small pieces, so that nobody waits.
```python
def greet(name: str) -> str:
    return f"Hello, {name}!"  # {name} is who asks
```
> What is remembered is only what is sent again.
"""
_WATCH = """() => {
    const frames = [], long = [];
    new PerformanceObserver((list) => long.push(...list.getEntries().map((entry) => entry.duration)))
        .observe({ type: "longtask" });
    let last = performance.now();
    const frame = (now) => {
        frames.push(now - last);
        last = now;
        window.asked = requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
    window.watched = { frames, long };
}"""


class Writer:
    """A tab without a page: what a page sends, and the answers."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._asked = 0
        self._answered = 0
        self._came = asyncio.Condition()
        self._newest: asyncio.Queue[str] = asyncio.Queue()
        self._known: set[str] = set()
        self._places: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self._channel = ""

    async def read(self) -> None:
        async for frame in self._socket:
            match frame.json():
                case {"t": "done", "error": None}:
                    async with self._came:
                        self._answered += 1
                        self._came.notify_all()
                case {"t": "done", "error": refused}:
                    sys.exit(refused)
                case {"t": "places", "channels": channels} if not self._places.done():
                    self._places.set_result(channels)
                case {"t": "messages", "list": messages}:
                    for message in messages:
                        if message["id"] not in self._known:
                            self._known.add(message["id"])
                            self._newest.put_nowait(message["id"])

    async def open(self, name: str) -> None:
        self._channel = next(each["id"] for each in await self._places if each["name"] == name)
        await self._ask("open", channel=self._channel)

    async def say(self, content: str) -> str:
        """The id of the new message."""
        await self._ask("say", channel=self._channel, content=content, reply_to=None, ping=False, files=[])
        return await self._newest.get()

    async def edit(self, message: str, content: str) -> None:
        """Does not wait until it is done."""
        await self._send("edit", message=message, content=content)

    async def done(self, but: int = 0) -> None:
        """Wait until all is done that was asked for, but so many."""
        async with self._came:
            await self._came.wait_for(lambda: self._answered >= self._asked - but)

    async def _ask(self, do: str, **what: object) -> None:
        await self._send(do, **what)
        await self.done()

    async def _send(self, do: str, **what: object) -> None:
        self._asked += 1
        await self._socket.send_json({"n": self._asked, "do": do, **what})


async def main() -> None:
    async with playground() as address, chromium() as browser, aiohttp.ClientSession() as client:
        origin = address.rsplit("/", 2)[0]
        async with client.ws_connect(f"{address}ws", headers={"Origin": origin}, max_msg_size=0) as socket:
            writer = Writer(socket)
            reading = asyncio.create_task(writer.read())
            await writer.open("general")
            await smoothness(await opened(browser, address), writer)
            await writer.open("random")
            await an_hour(await opened(browser, address, channel="random"), writer)
            reading.cancel()


async def smoothness(page: Page, writer: Writer) -> None:
    """The time between frames while many messages grow."""
    messages = [await writer.say(f"message {number}") for number in range(MESSAGES)]
    await page.wait_for_timeout(1000)
    await page.evaluate(_WATCH)
    began, count = time.monotonic(), SECONDS * EDITS_A_SECOND * MESSAGES
    for number in range(count):
        await asyncio.sleep(began + number / (EDITS_A_SECOND * MESSAGES) - time.monotonic())
        await writer.edit(messages[number % MESSAGES], piece(number // MESSAGES, SECONDS * EDITS_A_SECOND))
    await writer.done()
    took = time.monotonic() - began
    watched = await page.evaluate("() => { cancelAnimationFrame(window.asked); return window.watched; }")
    frames = sorted(watched["frames"])
    await expect(page.get_by_role("article").last).to_contain_text("the end")
    at_95 = frames[int(len(frames) * 0.95)]
    print(f"{count / took:.0f} edits a second in {MESSAGES} messages, for {took:.0f} s")
    print(
        f"  between frames   {statistics.median(frames):.1f} ms, 95% within {at_95:.1f} ms, worst {frames[-1]:.0f} ms"
    )
    print(f"  tasks over 50 ms {len(watched['long'])}, worst {max(watched['long'], default=0):.0f} ms")
    await page.close()


async def an_hour(page: Page, writer: Writer) -> None:
    """What is kept of as many messages and edits as an hour has, with the drawer open beside them."""
    await page.get_by_role("button", name="What Discord sees").click()
    session = await page.context.new_cdp_session(page)
    print(f"an hour of streaming: {REPLIES_AN_HOUR * 2} messages, {REPLIES_AN_HOUR * EDITS_A_REPLY} edits")
    print("  minutes     heap   DOM nodes   listeners")
    await kept(session, 0)
    began = time.monotonic()
    for number in range(REPLIES_AN_HOUR):
        await writer.say(f"question {number}")
        reply = await writer.say("…")
        for edit in range(EDITS_A_REPLY):
            await writer.edit(reply, piece(edit, EDITS_A_REPLY) + f" {number}")
            await writer.done(but=2)
        if (number + 1) % (REPLIES_AN_HOUR // QUARTERS) == 0:
            await expect(page.get_by_role("article").last).to_contain_text(f"the end {number}")
            await kept(session, (number + 1) * 60 // REPLIES_AN_HOUR)
    print(f"  sent in {time.monotonic() - began:.0f} s")


async def kept(session: CDPSession, minutes: int) -> None:
    await session.send("HeapProfiler.collectGarbage")
    await session.send("Performance.enable")
    answer = await session.send("Performance.getMetrics")
    figures = {each["name"]: each["value"] for each in answer["metrics"]}
    heap, nodes, listeners = (figures[name] for name in ("JSHeapUsedSize", "Nodes", "JSEventListeners"))
    print(f"  {minutes:>7}  {heap / 2**20:>4.1f} MB   {nodes:>9.0f}   {listeners:>9.0f}", flush=True)


def piece(number: int, of: int) -> str:
    """The text that has grown so far; the last one is the whole of it."""
    text = _TEXT * 3
    return f"{text}the end" if number + 1 == of else text[: 20 + len(text) * number // of]


async def opened(browser: Browser, address: str, channel: str = "general") -> Page:
    page = await browser.new_page(viewport={"width": 1280, "height": 800})
    await page.goto(address)
    await page.get_by_role("navigation").get_by_role("button", name=channel, exact=True).click()
    await expect(page.get_by_role("heading", name=channel, level=2).first).to_be_visible()
    return page


@asynccontextmanager
async def playground() -> AsyncIterator[str]:
    """It runs in a process of its own; the address of its page."""
    with tempfile.TemporaryDirectory() as folder:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "bot", "playground", "--no-open", "--port", "0"),
            *("--database", str(Path(folder) / "playground.db")),
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None  # noqa: S101  PIPE was asked for
        try:
            async for line in process.stdout:
                if b"http" in line:
                    yield line.split()[-1].decode()
                    break
        finally:
            process.terminate()
            await process.wait()


if __name__ == "__main__":
    asyncio.run(main())
