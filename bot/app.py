"""The composition root: each command with the parts it is built from.

This is the only module that knows all the others. Each function runs one command and returns its exit code.
Modules that only one command needs are imported in its function, so that the other commands start quickly.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from itertools import chain, repeat
from pathlib import Path
from typing import Any

from bot import config
from bot.config import Secret, Settings
from bot.core.errors import BotError, DiscordUnavailable, SettingsError
from bot.core.figures import Figures
from bot.core.model_servers import ModelServer, ModelServers
from bot.core.protocols import ChatModel
from bot.core.quotas import NO_LIMITS, Quotas
from bot.core.service import ConversationService
from bot.core.shards import Shards, WantedShards
from bot.core.turns import Conversation
from bot.core.usage import Prices
from bot.discord_bot.health import HealthChecks, PublishHealth
from bot.llm.demo import DemoModel
from bot.operator import health, logs, maintenance, processes, transcripts
from bot.operator.database_path import chosen_by, chosen_with, database_of
from bot.operator.printing import wrapped
from bot.store import Store
from bot.store.databases import Database, DatabaseServer, Term, Terms, open_store, serving
from bot.store.sqlite import MEMORY
from bot.texts.memory import TOLD_TO_MODEL
from bot.texts.playground import THIS_COMPUTER

log = logging.getLogger(__name__)

_PAUSES = (1.0, 5.0, 15.0)
"""Seconds until a process of several tries again to connect to Discord, which could not be reached at its start."""
_STANDS_BY_AFTER = 1.0
"""Seconds of waiting for something to serve after which a process is a standby that waits for others."""


async def run_bot() -> int:
    """Run the bot on Discord until a signal stops it."""
    settings = Settings.load(os.environ, needs=(config.DISCORD, config.MODEL))
    if settings.discord_token is None:
        raise SettingsError([config.DISCORD.missing])
    _start_log(settings.log_level, settings)
    try:
        await _serve(settings, settings.discord_token)
    except BotError as error:
        log.critical("%s", error)
        return 1
    return 0


async def _serve(settings: Settings, token: Secret) -> None:
    from bot.discord_bot.options import Options
    from bot.discord_bot.runner import run
    from bot.llm.servers import ModelRouter

    stop, figures = asyncio.Event(), Figures()
    _on_first_signal(stop.set)
    wanted = settings.shards if isinstance(settings.shards, WantedShards) else WantedShards()
    options = Options.of(settings, grace=settings.shutdown_grace)
    async with (
        chosen_by(settings),
        serving(database_of(settings), wanted, figures) as terms,
        processes.reported(terms.processes) as note,
    ):
        publish_health = partial(_publish, settings, figures, note)

        async def serve(term: Term) -> None:
            async with (
                ModelRouter.of(settings, term.store.server_facts) as model,
                _conversations(
                    settings, term.store, model, settings.quotas, TOLD_TO_MODEL, figures=figures
                ) as conversations,
            ):
                await run(
                    token.reveal(),
                    term.store,
                    conversations,
                    options if term.shards.count == 1 else replace(options, shards=term.shards),
                    stop=stop,
                    list_models=model.listings,
                    publish_health=partial(publish_health, term.shards),
                    figures=figures,
                    gate=term.gate,
                    limits=term.limits,
                )

        while (term := await _next_term(terms, stop, partial(publish_health, Shards((), wanted.count)))) is not None:
            for pause in chain(_PAUSES, repeat(_PAUSES[-1])):
                try:
                    await serve(term)
                    break
                except DiscordUnavailable as error:
                    if term.limits is None:
                        raise
                    # What a fleet does together goes on by itself, and nobody is there to start one process again.
                    pause = max(pause, error.pause)
                    log.warning("not connected to Discord, trying again in %.0f s: %s", pause, error.problem)
                    await _wait(pause, stop.wait(), term.gate.until_shut())


async def _wait(seconds: float, *events: Coroutine[Any, Any, object]) -> None:
    """Wait for so long, or until one of these returns."""
    waiting = [asyncio.create_task(each) for each in events]
    try:
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in waiting:
            task.cancel()


async def _next_term(terms: Terms, stop: asyncio.Event, publish_health: PublishHealth) -> Term | None:
    """Wait until there is something to serve, or until `stop` (None)."""
    if stop.is_set():
        return None
    waiting, stopping = asyncio.create_task(terms.next()), asyncio.create_task(stop.wait())
    both = (waiting, stopping)
    try:
        done, _ = await asyncio.wait(both, timeout=_STANDS_BY_AFTER, return_when=asyncio.FIRST_COMPLETED)
        if not done:
            async with publish_health(HealthChecks.of_standby(terms.ping)):
                await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        return None if stop.is_set() else await waiting
    finally:
        for task in both:
            task.cancel()
        await asyncio.gather(*both, return_exceptions=True)


@asynccontextmanager
async def _publish(
    settings: Settings, figures: Figures, note: processes.Note, shards: Shards, checks: HealthChecks
) -> AsyncIterator[None]:
    """Publish the health of the process that serves these shards until the block ends.

    So are its figures where METRICS_PORT is set.
    """
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(
            health.publish_health(database_of(settings), checks, lambda report: note(shards, report))
        )
        if settings.metrics_port is not None:
            from bot.operator.metrics import serve_metrics

            await stack.enter_async_context(serve_metrics(settings.metrics_port, figures, checks))
        yield


async def chat(conversation: str, *, temporary: bool) -> int:
    """Chat on the standard streams; a temporary conversation is kept in memory only."""
    from bot.terminal import chat

    settings = Settings.load(os.environ)
    database = MEMORY if temporary else database_of(settings)
    async with (
        chosen_by(settings),
        open_store(database, exclusive=False) as store,
        _model(settings, store) as model,
        # What is said here is counted, and nobody is refused: whoever sits at the terminal sets the limits. Nothing is
        # summarized, since reading a line holds up whatever is in the background.
        _conversations(
            settings, store, model, NO_LIMITS if settings.model_configured else None, in_background=False
        ) as conversations,
    ):
        name = settings.openai_model if settings.model_configured else None
        return await chat(store, conversations, conversation, name, temporary=temporary, environ=os.environ)


async def run_playground(port: int | None, database: Path, *, open_browser: bool) -> int:
    """Run the playground until a signal stops it. Without a `port`, it is at the last one or at the usual one."""
    from bot.playground import or_demo, playground

    # Whoever tries the bot out is not to run into limits that nobody has set.
    settings = or_demo(Settings.load(os.environ, default_limits=False))
    _start_playground_log(settings)
    stop, figures = asyncio.Event(), Figures()
    _on_first_signal(stop.set)
    async with chosen_with("--database"), open_store(database, exclusive=True, figures=figures) as store:
        await playground(
            settings,
            store,
            lambda model: _conversations(settings, store, model, settings.quotas, TOLD_TO_MODEL, figures=figures),
            figures,
            port=port,
            database=database,
            open_browser=open_browser and sys.stdout.isatty() and _has_screen(os.environ),
            stop=stop,
            say=lambda text: print(text, flush=True),
        )
    return 0


async def check() -> int:
    """Check the set-up and print what to do."""
    from bot.operator.check import check

    well = await check(os.environ, lambda line: print(wrapped(line, sys.stdout), flush=True))
    return 0 if well else 1


async def report_health(*, of_all: bool) -> int:
    """Print the health of the bot that runs here, or of all its processes on a database server."""
    database = database_of(Settings.load(os.environ))
    if of_all and isinstance(database, DatabaseServer):
        report = await processes.read_all(database)
    else:
        report = await health.read_health(database)
    print(report.text)
    return 0 if report.well else 1


async def copy_database(file: Path) -> int:
    """Copy the database to a file that does not exist yet."""
    return await _on_database(lambda database: maintenance.copy_database(database, file))


async def move_database(to: DatabaseServer) -> int:
    """Move all from the database's file to a database on a server."""
    return await _on_database(lambda database: maintenance.move_database(database, to))


async def compact_database() -> int:
    """Give the space of deleted conversations back to the disk."""
    return await _on_database(maintenance.compact_database)


async def list_conversations() -> int:
    """Print a table of all conversations."""
    return await _on_database(maintenance.list_conversations)


async def export_conversation(conversation: Conversation, file: Path | None, format_name: str | None) -> int:
    """Write a conversation to a new file or to standard output, in the format of that name or of the file's."""
    return await _on_database(
        lambda database: transcripts.export_conversation(database, conversation, file, format_name)
    )


async def import_conversation(file: Path, conversation: Conversation) -> int:
    """Take a conversation over from a file."""
    return await _on_database(lambda database: transcripts.import_conversation(database, file, conversation))


async def report_usage(days: int) -> int:
    """Print the tokens of the last days, with their cost where prices are set."""
    settings = Settings.load(os.environ)
    async with chosen_by(settings):
        return await maintenance.report_usage(database_of(settings), days, Prices(settings.prices or {}))


async def forget(user_id: int, *, confirmed: bool) -> int:
    """Delete a person's data, after a question unless it is already confirmed."""
    return await _on_database(lambda database: maintenance.forget(database, user_id, confirmed=confirmed))


async def _on_database(work: Callable[[Database], Awaitable[int]]) -> int:
    settings = Settings.load(os.environ)
    async with chosen_by(settings):
        return await work(database_of(settings))


@asynccontextmanager
async def _model(settings: Settings, store: Store) -> AsyncIterator[ChatModel]:
    """The configured model, or the offline demo."""
    if not settings.model_configured:
        yield DemoModel()
        return
    from bot.llm.servers import ModelRouter

    async with ModelRouter.of(settings, store.server_facts) as model:
        yield model


def _conversations(
    settings: Settings,
    store: Store,
    model: ChatModel,
    quotas: Quotas | None = None,
    about_memory: str = "",
    *,
    in_background: bool = True,
    figures: Figures | None = None,
) -> ConversationService:
    generation = replace(settings.generation, quotas=quotas, about_memory=about_memory)
    if not in_background:
        generation = replace(generation, summaries=False)
    if not settings.model_configured:
        generation = replace(generation, servers=ModelServers(ModelServer(THIS_COMPUTER)))
    return ConversationService(store, model, generation, settings.limits, figures=figures)


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


def _has_screen(environ: Mapping[str, str]) -> bool:
    """Whether a browser can open a window here."""
    if "SSH_CONNECTION" in environ:
        return False
    return sys.platform in ("win32", "darwin") or not environ.keys().isdisjoint({"DISPLAY", "WAYLAND_DISPLAY"})


def _start_playground_log(settings: Settings) -> None:
    """Log only warnings unless LOG_LEVEL is set: in the playground most faults are wanted, and the page shows them."""
    level = settings.log_level
    quiet = level == config.SETTINGS["LOG_LEVEL"].default and not os.environ.get("LOG_LEVEL", "").strip()
    _start_log("WARNING" if quiet else level, settings)
    if quiet:
        # discord.py logs a traceback for each lost connection.
        logging.getLogger("discord").setLevel(logging.CRITICAL)


def _start_log(level: str, settings: Settings) -> None:
    logs.to_stderr(level, form=settings.log_format, messages=settings.log_messages, secrets=settings.secrets)
