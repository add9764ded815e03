"""A Chromium that is on this machine, with a profile that is new and thrown away, and kept from calling home."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, async_playwright

from tests.waiting import FOR_A_PROCESS

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_ARGUMENTS = [
    "--no-sandbox",  # whoever is root, as in containers, has none
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-device-for-media-stream",  # a microphone that hears a beep each second
    "--use-fake-ui-for-media-stream",  # and may be used
]


class NoChromium(Exception):
    """There is none here."""

    def __init__(self) -> None:
        super().__init__("no Chromium: install one, or set CHROMIUM, to run the browser tests")


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """It runs headless until the end of the block. `CHROMIUM` chooses another program."""
    program = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, _NAMES)), None)
    if program is None:
        raise NoChromium
    async with (
        async_playwright() as playwright,
        await playwright.chromium.launch(
            executable_path=program, args=_ARGUMENTS, timeout=FOR_A_PROCESS * 1000
        ) as browser,
    ):
        yield browser
