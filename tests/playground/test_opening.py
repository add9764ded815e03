"""The page is opened in the default browser, and its address is for this user alone."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from tests.store.steps import posix_only
from tests.waiting import FOR_A_PROCESS

ADDRESS = "http://127.0.0.1:8080/a-secret/"
OPEN = f"""
from pathlib import Path
from bot.playground.browser import opened_in_browser

with opened_in_browser({ADDRESS!r}, Path("data")):
    input()
"""


@posix_only
async def test_browser_is_given_the_address_in_a_private_file(tmp_path: Path) -> None:
    """A browser of the test's own writes its command line into a pipe."""
    (tmp_path / "data").mkdir()
    told = tmp_path / "told"
    os.mkfifo(told)
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$0 $@" > {told}\n', encoding="utf-8")
    browser.chmod(0o700)
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        OPEN,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path.cwd()), "BROWSER": f"{browser} %s"},
        stdin=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(FOR_A_PROCESS):
        command = await asyncio.to_thread(told.read_text, encoding="utf-8")
        assert "a-secret" not in command
        file = Path(url2pathname(urlsplit(command.split()[-1]).path))
        assert f'content="0; url={ADDRESS}"' in file.read_text(encoding="utf-8")
        assert (file.parent, file.stat().st_mode & 0o777) == (tmp_path / "data", 0o600)
        await process.communicate(b"\n")
    assert list((tmp_path / "data").iterdir()) == []
