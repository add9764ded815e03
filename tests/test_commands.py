"""The commands of the documentation, run as they stand there, by somebody who has just cloned the repository."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import aiohttp
import pytest

from bot.config import SETTINGS
from bot.llm.demo import demo_reply
from bot.standin.model import ModelStandin
from bot.standin.script import Reply
from bot.standin.server import DiscordStandin
from tests.test_docs import DOCUMENTATION, EXAMPLE, LOCK, ROOT, blocks, files
from tests.waiting import FOR_A_PROCESS, until

NOT_RUN = {
    "docker": "there is no Docker where the tests run",
    "gh attestation": "needs an image that is published",
    "sudo": "changes the whole computer",
    "-m benchmarks.": "takes minutes",
    "-m bot move": "tests/operator/test_on_postgresql.py does, to a server of the tests' own",
    "-m bot import": "tests/terminal/test_transcripts.py does, in a conversation with a script",
    "-m pytest": "runs this test: .ci/run begins with it",
}
"""What is in a block that the shell only parses here, and why it is not run."""
TO_THE_STANDIN = """
import sys
if sys.orig_argv[1:3] == ["-m", "bot"] or sys.orig_argv[1:2] and sys.orig_argv[1].endswith("/bin/parley"):
    import yarl
    from discord.asset import Asset
    from discord.gateway import DiscordWebSocket
    from discord.http import Route
    Route.BASE, Asset.BASE, DiscordWebSocket.DEFAULT_GATEWAY = {rest!r}, {cdn!r}, yarl.URL({gateway!r})
"""
"""A module that turns the installed discord.py to the stand-in, for which no command has an option."""
SHELL = [*blocks("sh"), *blocks("sh test")]
RUN = [block for block in SHELL if not any(words in block for words in NOT_RUN)]


class Newcomer:
    """Somebody at a shell in a fresh clone.

    `discord` and `model` are what the bot finds when it is started, `terminal` is where questions are answered.
    """

    def __init__(self, folder: Path, terminal: int, discord: DiscordStandin, model: ModelStandin) -> None:
        self.clone, self.discord, self.model = folder / "parley", discord, model
        self._origin, self._terminal = folder / "origin", terminal

    async def clones(self) -> None:
        for file in files():
            copy = self._origin / file.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, copy)
        await self._git("init", "--quiet")
        await self._git("add", "--all")
        await self.publishes_a_version()
        await _ended(await self._start(["git", "clone", "--quiet", str(self._origin), str(self.clone)], self._origin))

    async def publishes_a_version(self) -> None:
        await self._git("commit", "--quiet", "--allow-empty", "--message=A new version")

    async def _git(self, *arguments: str) -> None:
        author = "-c", "user.name=Somebody", "-c", "user.email=somebody@parley.example"
        await _ended(await self._start(["git", *author, *arguments], self._origin))

    async def sets_up(self) -> None:
        """Fill in `.env`, as the README says, and make the installed bot use the stand-in for Discord."""
        values = {"DISCORD_TOKEN": self.discord.token, "OPENAI_BASE_URL": self.model.base_url}
        filled = EXAMPLE
        for name, value in values.items():
            filled = filled.replace(f"\n{name}=\n", f"\n{name}={value}\n")
        (self.clone / ".env").write_text(filled, encoding="utf-8")
        [packages] = self.clone.glob(".venv/lib/*/site-packages")
        urls = {"rest": self.discord.url, "cdn": self.discord.cdn_url, "gateway": self.discord.gateway_url}
        (packages / "to_the_standin.py").write_text(TO_THE_STANDIN.format(**urls), encoding="utf-8")
        (packages / "to_the_standin.pth").write_text("import to_the_standin\n", encoding="utf-8")

    async def follows(self, block: str) -> None:
        block = block.replace("USER_ID", str(self.discord.bo.id))
        process = await self._start(["sh", "-e", "-c", block], self.clone)
        try:
            if block.endswith("-m bot playground\n"):
                await self._opens_the_page(process)
                await _interrupted(process)
            elif block.endswith("-m bot\n"):
                await self._uses_the_bot()
                await _interrupted(process)
            else:
                await _ended(process)
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
                print((await process.communicate())[0].decode())  # noqa: T201 -- why it is still running
        await _ended(await self._start(["git", "clean", "--quiet", "--force", "-d"], self.clone))

    async def _opens_the_page(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout is not None
        begun = b""
        async with asyncio.timeout(FOR_A_PROCESS):
            while not (address := re.search(rb"http://127\S+", begun)):
                line = await process.stdout.readline()
                assert line, begun.decode()
                begun += line
        async with aiohttp.ClientSession() as session, session.get(address[0].decode()) as page:
            assert page.status == 200

    async def _uses_the_bot(self) -> None:
        """Ask it in the server, and look after it while it runs."""
        discord = self.discord
        await discord.ready()
        before = len(discord.bot_messages(discord.general))
        self.model.script.append(Reply("Because the universe is young."))
        await discord.say(discord.general, discord.bo, f"<@{discord.bot.id}> why is the night sky dark?")
        await discord.wait_for(lambda: len(discord.bot_messages(discord.general)) > before)
        await discord.wait_for(
            lambda: "Because the universe is young." in discord.bot_messages(discord.general)[-1].content
        )
        for block in filter(_needs_the_bot, RUN):
            # The bot tells every few seconds how it is.
            await until(partial(self._succeeds, block), within=FOR_A_PROCESS)

    async def _succeeds(self, block: str) -> bool:
        return await (await self._start(["sh", "-e", "-c", block], self.clone)).wait() == 0

    async def _start(self, command: list[str], folder: Path) -> asyncio.subprocess.Process:
        # The settings of this computer are not the newcomer's. What pip needs to reach its index is.
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("PYTHON") and (name not in SETTINGS or name.endswith(("_PROXY", "_CERT_FILE")))
        }
        return await asyncio.create_subprocess_exec(
            *command,
            cwd=folder,
            # Modules are compiled when they are first imported: most of those that pip installs never are.
            env={**kept, "PATH": f"{sys.base_prefix}/bin:{os.environ['PATH']}", "PIP_COMPILE": "0"},
            stdin=self._terminal,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )


def _needs_the_bot(block: str) -> bool:
    return "-m bot health" in block


async def _ended(process: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(FOR_A_PROCESS):
        printed, _ = await process.communicate()
    assert process.returncode == 0, printed.decode()


async def _interrupted(process: asyncio.subprocess.Process) -> None:
    """Press Ctrl-C, which goes to the shell and to what it runs."""
    os.killpg(process.pid, signal.SIGINT)
    async with asyncio.timeout(FOR_A_PROCESS):
        printed, _ = await process.communicate()
    assert process.returncode in (0, 130, -signal.SIGINT), printed.decode()
    assert b"Traceback" not in printed, printed.decode()


async def can_install() -> bool:
    """Whether pip reaches an index. In the command of the README it would try for minutes."""
    [wanted] = re.findall(r"^(wcwidth==\S+)", LOCK, re.MULTILINE)
    once = "--retries", "0", "--timeout", "10"
    pip = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pip", "install", "-qq", *once, "--no-deps", "--dry-run", "-I", wanted),
        stderr=asyncio.subprocess.DEVNULL,
    )
    return await pip.wait() == 0


@pytest.fixture
def terminal() -> Iterator[int]:
    """A terminal at which the one question of these commands is answered with yes."""
    ours, theirs = os.openpty()
    os.write(ours, b"y\n")
    yield theirs
    os.close(theirs)
    os.close(ours)


@pytest.mark.long
@pytest.mark.skipif(sys.platform == "win32", reason="the blocks are for a POSIX shell")
async def test_documented_commands_work_in_a_fresh_clone(tmp_path: Path, terminal: int) -> None:
    if shutil.which("git") is None:
        pytest.skip("git is not installed here")
    if "CI" not in os.environ and not await can_install():
        pytest.skip("pip reaches no index here")
    async with DiscordStandin() as discord, ModelStandin(default=Reply(demo_reply)) as model:
        discord.patience = FOR_A_PROCESS
        newcomer = Newcomer(tmp_path, terminal, discord, model)
        await newcomer.clones()
        first, *others = RUN
        await newcomer.follows(first)
        await newcomer.sets_up()
        await newcomer.publishes_a_version()
        for block in others:
            if not _needs_the_bot(block):
                await newcomer.follows(block)
        assert discord.bot_messages(discord.general)


@pytest.mark.parametrize("block", [block for block in SHELL if block not in RUN])
async def test_commands_that_do_not_run_here_can_be_read_by_a_shell(block: str) -> None:
    shell = await asyncio.create_subprocess_exec("sh", "-n", "-c", block)
    assert await shell.wait() == 0


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze here")
async def test_systemd_understands_the_unit(tmp_path: Path) -> None:
    [unit] = blocks("ini")
    file = tmp_path / "parley.service"
    file.write_text(unit.replace("/srv/parley/.venv/bin/python", sys.executable), encoding="utf-8")
    command = ["systemd-analyze", "verify", "--man=no", str(file)]
    analyze = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    _, said = await analyze.communicate()
    assert (analyze.returncode, said.decode()) == (0, "")


def test_commands_for_windows_do_the_same() -> None:
    there = {
        block.replace("python3 ", "py ").replace(".venv/bin/", ".venv\\Scripts\\").replace(" && ", "; ").strip()
        for block in SHELL
    }
    for page in DOCUMENTATION:
        text = page.read_text(encoding="utf-8")
        for command in re.findall(r"`(py -m [^`]*)`", text) + re.findall(r"```powershell\n(.*)\n```", text):
            assert command in there, page
