"""The commands: their arguments, what each is wired from, and their exit codes.

0: all went well. 1: it could not do its work, and one sentence says why. 2: a mistake in the settings or the arguments.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from bot import config
from bot.config import Secret, Settings
from bot.core.errors import BotError, SettingsError, StoreError, StoreUnusable
from bot.core.protocols import ChatModel
from bot.core.queues import QueueLimits
from bot.core.quotas import Quotas
from bot.core.service import ConversationService
from bot.core.usage import DAY, Prices
from bot.llm.demo import DemoModel
from bot.operator import health, logs, reports
from bot.store import Store
from bot.store.sqlite import MEMORY, backup, open_store

log = logging.getLogger(__name__)

_SOON = 2.0
"""Seconds after which it is said what is waited for."""


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
    except BrokenPipeError:
        # Whoever read what is printed has seen enough; without this, Python would complain of it at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


class _Help(argparse.RawDescriptionHelpFormatter):
    """With what each command does beside its name: argparse measures the names without their indent."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28)
        self._action_max_length = 18


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m bot",
        description="A chatbot for Discord that remembers. Without a command it runs the bot.",
        epilog=f"settings, from the environment or from .env:\n{config.help_text()}",
        formatter_class=_Help,
    )
    parser.set_defaults(command=_run)
    commands = parser.add_subparsers(title="commands", metavar="[COMMAND]")
    run = commands.add_parser("run", help="run the bot on Discord (the default)")
    run.set_defaults(command=_run)
    chat = commands.add_parser("chat", help="chat here in the terminal")
    chat.add_argument("--conversation", metavar="NAME", default="default", help="which conversation to go on with")
    chat.add_argument("--temporary", action="store_true", help="keep this conversation in memory only")
    chat.set_defaults(command=_chat)
    trying = commands.add_parser("playground", help="try the whole bot in a browser, without an account")
    trying.add_argument("--port", type=_port, metavar="N", default=8765, help="where the page is (default: 8765)")
    trying.add_argument(
        "--database",
        type=Path,
        metavar="FILE",
        default=Path("data/playground.db"),
        help="the file that remembers (default: data/playground.db)",
    )
    trying.add_argument("--no-open", action="store_true", help="open no browser")
    trying.set_defaults(command=_playground)
    checking = commands.add_parser("check", help="go through the set-up and say what to do")
    checking.set_defaults(command=_check)
    asking = commands.add_parser("health", help="ask the running bot whether it is well")
    asking.set_defaults(command=_health)
    copying = commands.add_parser("backup", help="copy the database, also while the bot runs")
    copying.add_argument("file", metavar="FILE", type=Path, help="the copy, which must not be there yet")
    copying.set_defaults(command=_backup)
    listing = commands.add_parser("conversations", help="list what is remembered: how much, where, and since when")
    listing.set_defaults(command=_list_conversations)
    usage = commands.add_parser("usage", help="report the tokens used, by day, server and person, with their cost")
    usage.add_argument("--days", type=_days, metavar="N", default=30, help="how far back, 1 to 90 (default: 30)")
    usage.set_defaults(command=_usage)
    forgetting = commands.add_parser("forget", help="delete all that is on record of a person, also while the bot runs")
    forgetting.add_argument("person", metavar="USER_ID", type=_user_id, help="the person's id on Discord")
    forgetting.add_argument("--yes", action="store_true", help="do not ask first")
    forgetting.set_defaults(command=_forget)
    return parser


async def _run(_: argparse.Namespace) -> int:
    settings = Settings.load(os.environ, needs=(config.DISCORD, config.MODEL))
    if settings.discord_token is None:
        raise SettingsError([config.DISCORD.missing])
    _log(settings.log_level, settings)
    try:
        await _serve(settings, settings.discord_token)
    except BotError as error:
        log.critical("%s", error)
        return 1
    return 0


async def _serve(settings: Settings, token: Secret) -> None:
    from bot.discord_bot.options import Options
    from bot.discord_bot.runner import run
    from bot.llm.client import OpenAIModel

    stop = asyncio.Event()
    _on_first_signal(stop.set)
    async with (
        open_store(settings.database_path, exclusive=True) as store,
        OpenAIModel.of(settings) as model,
        _conversations(settings, store, model, _allowances(settings)) as conversations,
    ):
        options = Options.of(settings, grace=settings.shutdown_grace, database=settings.database_path)
        await run(token.reveal(), store, conversations, options, stop=stop, list_models=model.models)


async def _chat(options: argparse.Namespace) -> int:
    from bot.terminal import chat

    settings = Settings.load(os.environ)
    path = MEMORY if options.temporary else settings.database_path
    async with (
        open_store(path, exclusive=False) as store,
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


async def _playground(options: argparse.Namespace) -> int:
    from bot.playground import or_demo, playground

    settings = or_demo(Settings.load(os.environ))
    _log_of_playground(settings)
    stop = asyncio.Event()
    _on_first_signal(stop.set)
    database: Path = options.database
    async with open_store(database, exclusive=True) as store:
        await playground(
            settings,
            store,
            lambda model: _conversations(settings, store, model, _allowances(settings)),
            port=options.port,
            database=database,
            open_browser=not options.no_open and sys.stdout.isatty() and _has_screen(os.environ),
            stop=stop,
            say=lambda text: print(text, flush=True),
        )
    return 0


async def _check(_: argparse.Namespace) -> int:
    from bot.operator.check import check

    return 0 if await check(os.environ) else 1


async def _health(_: argparse.Namespace) -> int:
    answer = await health.query_health(Settings.load(os.environ).database_path)
    print(answer.report)
    return 0 if answer.well else 1


async def _backup(options: argparse.Namespace) -> int:
    await backup(Settings.load(os.environ).database_path, options.file)
    print(f"The conversations are copied to {options.file}.")
    return 0


async def _list_conversations(_: argparse.Namespace) -> int:
    conversations = questions = size = 0
    table = reports.ConversationTable(_width())
    async with open_store(_existing(Settings.load(os.environ)), exclusive=False) as store:
        async for page in store.conversations.overview():
            if not conversations:
                print(table.heads())
            print(*table.lines(page), sep="\n")
            conversations += len(page)
            questions += sum(each.turns for each in page)
            size += sum(each.size for each in page)
    print(reports.total(conversations, questions, size))
    return 0


async def _usage(options: argparse.Namespace) -> int:
    settings = Settings.load(os.environ)
    async with open_store(_existing(settings), exclusive=False) as store:
        rows = await store.quotas.usage(int(time.time()) // DAY - options.days + 1)
    print(reports.usage(rows, Prices(settings.prices or {}), width=_width()))
    return 0


async def _forget(options: argparse.Namespace) -> int:
    person: int = options.person
    async with open_store(_existing(Settings.load(os.environ)), exclusive=False) as store:
        extent = await store.people.record_of(person)
        if extent.is_empty:
            print(reports.nothing_stored(person))
            return await _wiped(store)
        print(reports.deletion_preview(person, extent))
        if not options.yes:
            if not sys.stdin.isatty():
                print("Nobody is here to confirm it: add --yes to delete it.", file=sys.stderr)
                return 2
            if not _confirmed("Delete it for good? [y/N] "):
                print("Nothing is deleted.")
                return 1
        forgotten = await store.people.forget(person)
        print(reports.deleted(person, len(forgotten), blocked=extent.blocked))
        return await _wiped(store)


async def _wiped(store: Store) -> int:
    """The exit code of having forgotten: whether nothing is left in the file's bytes either, or a bot sees to it."""
    wiping = asyncio.create_task(store.engine.erase_deleted())
    if not (await asyncio.wait([wiping], timeout=_SOON))[0]:
        print(reports.WIPING, flush=True)
    try:
        if not await wiping:
            print(reports.LEFT_TO_THE_BOT)
    except StoreError:
        print(reports.NOT_WIPED, file=sys.stderr)
        return 1
    return 0


def _existing(settings: Settings) -> Path:
    """The database, for commands that have nothing to do with a new one."""
    path = settings.database_path
    if not path.exists():
        raise StoreUnusable(f"The database {path} does not exist: set DATABASE_PATH to the one that the bot uses.")
    return path


def _width() -> int:
    """Columns of the terminal, if there is one; below 80 the ids are worth more than whole lines."""
    return max(80, shutil.get_terminal_size().columns) if sys.stdout.isatty() else reports.WIDTH


def _confirmed(question: str) -> bool:
    # asyncio leaves a first Ctrl-C to the event loop, which waits for the answer itself.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return input(question).strip().lower() in ("y", "yes")
    except EOFError:
        print()
        return False
    finally:
        signal.signal(signal.SIGINT, before)


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
    from bot.llm.client import OpenAIModel

    async with OpenAIModel.of(settings) as model:
        yield model


def _conversations(
    settings: Settings, store: Store, model: ChatModel, allowances: Quotas | None = None
) -> ConversationService:
    return ConversationService(
        store,
        model,
        models=settings.offered_models,
        provider_key=settings.openai_base_url or "",
        system_prompt=settings.system_prompt,
        context_tokens=settings.context_tokens,
        reply_tokens=settings.reply_tokens,
        limits=QueueLimits(
            max_concurrent_replies=settings.max_concurrent_replies,
            queue_per_user=settings.queue_per_user,
            queue_per_conversation=settings.queue_per_conversation,
            queue_total=settings.queue_total,
        ),
        quotas=allowances,
    )


def _allowances(settings: Settings) -> Quotas:
    return Quotas(
        hourly_questions_per_user=settings.hourly_questions_per_user,
        daily_tokens_per_user=settings.daily_tokens_per_user,
        daily_tokens_per_server=settings.daily_tokens_per_server,
        daily_tokens_total=settings.daily_tokens_total,
    )


def _model_name(settings: Settings) -> str | None:
    return settings.openai_model if settings.model_configured else None


def _port(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) < 6 and int(text) < 2**16:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no port; write a number up to 65535; 0 is any free one")


def _days(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= 90:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} will not do; write a number of days from 1 to 90")


def _user_id(text: str) -> int:
    if re.fullmatch(r"[0-9]{17,19}", text) and int(text) < 2**63:
        return int(text)
    raise argparse.ArgumentTypeError(
        f"{text!r} is no id; write the 17 to 19 digits that Discord copies with a right click on the person once"
        " Developer Mode is on (User Settings, Advanced)"
    )


def _has_screen(environ: Mapping[str, str]) -> bool:
    """Whether a browser can open a window here."""
    if "SSH_CONNECTION" in environ:
        return False
    return sys.platform in ("win32", "darwin") or not environ.keys().isdisjoint({"DISPLAY", "WAYLAND_DISPLAY"})


def _log_of_playground(settings: Settings) -> None:
    """Quiet unless LOG_LEVEL asks for more: what goes wrong is mostly wanted, and the page shows it."""
    level = settings.log_level
    quiet = level == config.SETTINGS["LOG_LEVEL"].default and not os.environ.get("LOG_LEVEL", "").strip()
    _log("WARNING" if quiet else level, settings)
    if quiet:
        # It logs the trace of every connection that is lost.
        logging.getLogger("discord").setLevel(logging.CRITICAL)


def _log(level: str, settings: Settings) -> None:
    secrets = [secret.reveal() for secret in (settings.discord_token, settings.openai_api_key) if secret]
    logs.to_stderr(level, form=settings.log_format, messages=settings.log_messages, secrets=secrets)
