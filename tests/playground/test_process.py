from __future__ import annotations

import asyncio
import os
import signal
import socket
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from bot.llm.demo import DEMO_HEARS, NOTE
from tests import forkserver
from tests.files.samples import picture, voice
from tests.playground.conftest import Home, Tab
from tests.waiting import FOR_A_PROCESS, until

Launch = Callable[..., AbstractAsyncContextManager["Process"]]


@dataclass
class Process:
    process: asyncio.subprocess.Process
    home: Home
    start: str

    async def end(self, number: signal.Signals = signal.SIGINT) -> str:
        """Its last words, having ended well."""
        self.process.send_signal(number)
        async with asyncio.timeout(FOR_A_PROCESS):
            assert await self.process.wait() == 0
        assert self.process.stderr is not None
        return (await self.process.stderr.read()).decode()


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path.cwd()), "DISCORD_TOKEN": "not.to.be.used"}


def command(*options: str) -> tuple[str, ...]:
    return "-m", "bot", "playground", "--no-open", *options


@pytest.fixture
def launch(environ: dict[str, str], tmp_path: Path) -> Launch:
    """Start the playground as a process of its own; it remembers in the same file each time."""

    @asynccontextmanager
    async def launched(port: int = 0) -> AsyncIterator[Process]:
        process = await forkserver.start(
            *command("--port", str(port)),
            env=environ,
            cwd=tmp_path,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        try:
            async with aiohttp.ClientSession() as client:
                async with asyncio.timeout(FOR_A_PROCESS):
                    start = (await process.stdout.readuntil(b"helps with it.\n")).decode()
                address = next(word for word in start.split() if word.startswith("http"))
                yield Process(process, Home(address, client, patience=FOR_A_PROCESS), start)
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()

    return launched


async def ask(home: Home, question: str, answer: str) -> None:
    tab = await home.tab()
    await tab.say(f"<@{tab.id_of('Parley')}> {question}")
    await tab.reply(answer)
    await tab.close()


async def ask_in_vain(tab: Tab, failed: int) -> None:
    """Ask, and wait until that many questions have failed."""
    await tab.say(f"<@{tab.id_of('Parley')}> hello")
    sentence = "I can't reach my AI provider."
    await tab.until(lambda: sum(sentence in each["raw"] for each in tab.messages.values()) == failed)


async def test_playground_remembers_after_a_restart(launch: Launch, tmp_path: Path) -> None:
    question = "what did I say first?"
    async with launch() as first:
        assert "offline demo" in first.start
        assert "data/playground.db" in first.start
        await ask(first.home, question, "Nothing yet.")
        assert await first.end() == ""
    async with launch() as second:
        await ask(second.home, question, f"The first thing you said: “{question}”")
        assert await second.end(signal.SIGTERM) == ""
    assert (tmp_path / "data" / "playground.db").exists()


async def test_files_are_remembered_after_a_restart_until_their_message_is_deleted(launch: Launch) -> None:
    async with launch() as first:
        tab, upload = await first.home.tab(channel="Parley"), first.home.upload
        spoken = await upload("", "audio/ogg", voice(2), seconds="2", waveform="AP8=")
        screenshot = await upload("a.png", "image/png", picture())
        logs = [await upload("a.log", "text/plain", b"ERROR 7") for _ in range(2)]
        for files, content, answer in (
            ([spoken], "", "Hello!"),
            ([logs[0]], "read it", "I was shown a.log"),
            ([screenshot, logs[1]], "and these", "a.png (64 × 48)"),
            ([], "hello", "Hello!"),
            ([], "what did I show you?", "a.png (64 × 48)"),
        ):
            await tab.say(content, files=files)
            await tab.shows(await tab.reply(answer), "rows", [])
        shown = next(each["id"] for each in tab.messages.values() if each["raw"] == "and these")
        await tab.do("delete", message=shown)
        await tab.say("what did I show you now?")
        latest = await tab.reply("I was shown a.log (1 line, the first “ERROR 7”).")
        assert "a.png" not in latest["raw"]
        await tab.close()
        await first.end()
    async with launch() as second:
        tab = await second.home.tab(channel="Parley")
        await tab.say("what did I show you?")
        await tab.reply("I was shown a.log (1 line, the first “ERROR 7”).")
        await tab.say("what did I say first?")
        await tab.reply(f"The first thing you said: “{DEMO_HEARS}”")
        await second.end()


async def test_playground_ends_during_a_reply(launch: Launch) -> None:
    async with launch() as running:
        tab = await running.home.tab()
        await tab.do("fault", name="rest_slow", on=True, channel=None)
        await tab.say(f"<@{tab.id_of('Parley')}> long")
        await tab.reply("# On")
        assert await running.end() == ""
        await tab.until(lambda: "closed" in tab.latest)
        assert "ended" in tab.latest
        assert all("That was all of it." not in each["raw"] for each in tab.messages.values()), "it was in the middle"
        await tab.close()
    async with launch() as again:
        await ask(again.home, "what did I say first?", "The first thing you said: “long”")
        await again.end()


async def test_playground_that_is_killed_during_a_reply_remembers_what_was_asked(
    launch: Launch, tmp_path: Path
) -> None:
    async with launch() as running:
        tab = await running.home.tab()
        await tab.do("fault", name="model_stalls", on=True, channel=None)
        await tab.say(f"<@{tab.id_of('Parley')}> long")
        with closing(sqlite3.connect(tmp_path / "data" / "playground.db")) as database:
            await until(lambda: database.execute("SELECT 1 FROM stored_turns WHERE reply <> ''").fetchone())
        running.process.kill()
        await running.process.wait()
    async with launch() as again:
        await ask(again.home, "hello", "Hello!")
        await ask(again.home, "what did I say first?", "The first thing you said: “long”")
        await again.end()


async def test_questions_are_limited_only_by_a_setting(launch: Launch, environ: dict[str, str]) -> None:
    async with launch() as running:
        tab = await running.home.tab()
        await tab.say(f"<@{tab.id_of('Parley')}> hello")
        await tab.reply(NOTE)
        await tab.do("slash", channel=tab.channel, command="usage", options={})
        used = await tab.reply("Questions in the last hour: 1\nTokens today: ")
        assert " left" not in used["raw"]
        await running.end()
    environ["HOURLY_QUESTIONS_PER_USER"] = "2"
    async with launch() as limited:
        tab = await limited.home.tab()
        await tab.do("fault", name="model_refuses_key", on=True, channel=None)
        await ask_in_vain(tab, failed=1)
        await ask_in_vain(tab, failed=2)
        await tab.do("fault", name="model_refuses_key", on=False, channel=None)
        await tab.say(f"<@{tab.id_of('Parley')}> repeat the second")
        await tab.reply("the second")
        await tab.say(f"<@{tab.id_of('Parley')}> repeat the third")
        await tab.reply("You've used your 2 questions for this hour.")
        await limited.end()


async def test_taken_port_is_replaced(launch: Launch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        async with launch(port) as running:
            assert f"(port {port} is in use; --port chooses another)" in running.start
            assert f":{port}/" not in running.home.url
            await (await running.home.tab()).close()
            await running.end()


async def test_second_playground_on_the_database_is_refused(
    launch: Launch, environ: dict[str, str], tmp_path: Path
) -> None:
    async with launch() as running:
        second = await asyncio.create_subprocess_exec(
            *(sys.executable, *command("--port", "0")), env=environ, cwd=tmp_path, stderr=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(FOR_A_PROCESS):
            _, said = await second.communicate()
        another = tmp_path.resolve() / "data" / "playground-2.db"
        assert second.returncode == 1
        assert said.decode().endswith(f" use another file, such as {another}. Choose the file with --database.\n")
        await running.end()
