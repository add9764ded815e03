"""The commands: their arguments, what each is wired from, and their exit codes.

0: all went well. 1: it could not do its work, and one sentence says why. 2: a mistake in the settings or the arguments.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager

from bot import config
from bot.config import Settings
from bot.conversation import Conversations
from bot.demo import DemoModel
from bot.errors import BotError, SettingsError
from bot.store import MEMORY, SQLiteStore
from bot.turns import ChatModel

_LIBRARIES = {
    "discord": logging.INFO,
    "asyncio": logging.INFO,
    "aiosqlite": logging.INFO,
    "openai": logging.WARNING,
    "httpx2": logging.WARNING,
    "httpcore2": logging.WARNING,
}
"""The least level of their logs that is shown: below it stand frames and requests, with what people wrote in them."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the process's exit code."""
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], Coroutine[None, None, int]] = options.command
    try:
        return asyncio.run(command(options))
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    except BotError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bot",
        description="A chatbot for Discord that remembers. Without a command it runs the bot.",
        epilog=f"settings, from the environment or from .env:\n{config.help_text()}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=_run)
    commands = parser.add_subparsers(title="commands", metavar="[COMMAND]")
    run = commands.add_parser("run", help="run the bot on Discord (the default)")
    run.set_defaults(command=_run)
    chat = commands.add_parser("chat", help="chat here in the terminal")
    chat.add_argument("--conversation", metavar="NAME", default="default", help="which conversation to go on with")
    chat.add_argument("--temporary", action="store_true", help="keep this conversation in memory only")
    chat.set_defaults(command=_chat)
    checking = commands.add_parser("check", help="go through the set-up and say what to do")
    checking.set_defaults(command=_check)
    return parser


async def _run(_: argparse.Namespace) -> int:
    from bot.discord_bot.run import run

    settings = Settings.load(os.environ, needs=(config.DISCORD, config.MODEL))
    if settings.discord_token is None:
        raise SettingsError([config.DISCORD.missing])
    _log_to_stderr(settings.log_level)
    stop = asyncio.Event()
    _on_first_signal(stop.set)
    async with (
        SQLiteStore.open(settings.database_path, exclusive=True) as store,
        _model(settings) as model,
        _conversations(settings, store, model) as conversations,
    ):
        token = settings.discord_token.reveal()
        await run(
            token,
            store,
            conversations,
            stop=stop,
            grace=settings.shutdown_grace,
            messages_per_reply=settings.messages_per_reply,
        )
    return 0


async def _chat(options: argparse.Namespace) -> int:
    from bot.terminal import chat

    settings = Settings.load(os.environ)
    path = MEMORY if options.temporary else settings.database_path
    async with (
        SQLiteStore.open(path, exclusive=False) as store,
        _model(settings) as model,
        _conversations(settings, store, model) as conversations,
    ):
        return await chat(
            store,
            conversations,
            options.conversation,
            _model_name(settings),
            temporary=options.temporary,
            environ=os.environ,
        )


async def _check(_: argparse.Namespace) -> int:
    from bot.check import check

    return 0 if await check(os.environ) else 1


def _on_first_signal(stop: Callable[[], None]) -> None:
    """Call `stop` on the first SIGINT or SIGTERM; a second one ends the process at once."""
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM)

    def first(*_: object) -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)
        loop.call_soon_threadsafe(stop)

    # Not loop.add_signal_handler, which Windows does not have.
    for number in numbers:
        signal.signal(number, first)


@asynccontextmanager
async def _model(settings: Settings) -> AsyncIterator[ChatModel]:
    if not settings.model_configured:
        yield DemoModel()
        return
    from bot.llm import OpenAIModel

    async with OpenAIModel.of(settings) as model:
        yield model


def _conversations(settings: Settings, store: SQLiteStore, model: ChatModel) -> Conversations:
    return Conversations(
        store,
        model,
        model_key=f"{settings.openai_base_url or ''} {settings.openai_model}".strip(),
        system_prompt=settings.system_prompt,
        context_tokens=settings.context_tokens,
    )


def _model_name(settings: Settings) -> str | None:
    return settings.openai_model if settings.model_configured else None


def _log_to_stderr(level: str) -> None:
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)-7s %(name)s: %(message)s", stream=sys.stderr)
    for name, least in _LIBRARIES.items():
        logging.getLogger(name).setLevel(max(least, logging.getLevelName(level)))
