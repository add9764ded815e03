"""The check of a set-up: for each point it says that all is well, or what to do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from bot import config
from bot.config import Secret, Settings
from bot.core.errors import BotError, ContextTooLong, ModelError, SettingsError
from bot.core.generation import MINIMUM_REPLY_TOKENS
from bot.core.generation_settings import TRANSCRIPTION_MODEL
from bot.core.shards import WantedShards
from bot.core.turns import FailureReason
from bot.files.ogg import silence
from bot.llm.client import OpenAIModel
from bot.operator.database_path import chosen_by, database_of
from bot.operator.long_probe import read_context
from bot.operator.picture_probe import sees
from bot.operator.processes import fresh
from bot.store.databases import DatabaseServer, connections_of_a_process, open_store, processes_on

if TYPE_CHECKING:
    from bot.discord_bot.check import Account

_CONTAINER_MARKS = (Path("/.dockerenv"), Path("/run/.containerenv"))
"""Files that exist in every container of Docker and of Podman."""
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_OUTSIDE = "host.docker.internal"
"""The name, inside a container, of the computer that runs it."""
_CLOCK_DIFFERENCE = 1.0
"""Seconds by which the clocks of this computer and the database's server may differ unsaid."""
_LISTED_MODELS = 12
_PROBE_SECONDS = 1.0
"""Seconds of silence that are transcribed as a probe."""

Say = Callable[[str], None]


async def check(
    environ: Mapping[str, str],
    say: Say = print,
    *,
    env_file: Path = Path(".env"),
    container_marks: Sequence[Path] = _CONTAINER_MARKS,
    patience: float = 3.0,
) -> bool:
    """Check the settings, the database, the model and Discord, as far as they are set. Returns whether all is well.

    After `patience` seconds without an answer it says that it is still waiting.
    """
    settings, well = _settings(say, environ, env_file)
    if settings is None:
        say("Not ready yet. Correct these settings, then check again.")
        return False
    well &= await _point(say, "Database", _database(settings), patience)
    for name in settings.all_model_servers:
        title = f"Model server {name}" if name else "Model"
        well &= await _point(say, title, _model(name, settings, container_marks), patience)
    if settings.transcription_model is not None:
        well &= await _point(say, "Voice messages", _transcription(settings.transcription_model, settings), patience)
    if settings.discord_token is not None:
        well &= await _point(say, "Discord", _discord(settings.discord_token, settings), patience)
    say(
        "All is well. Start the bot with `python -m bot`."
        if well
        else "Not ready yet. Fix what is not ok above, then check again."
    )
    return well


def _settings(say: Say, environ: Mapping[str, str], env_file: Path) -> tuple[Settings | None, bool]:
    """The settings, or None if one is wrong; and whether the bot has all that it needs."""
    try:
        settings = Settings.load(environ, env_file, needs=(config.DISCORD, config.MODEL))
    except SettingsError as error:
        for problem in error.problems:
            say(f"Settings: {problem}")
    else:
        say("Settings: ok.")
        return settings, True
    if not env_file.exists():
        say(f"Settings: there is no file {env_file.absolute()}. Copy .env.example to it and fill it in.")
    # A missing setting must not keep the other points from being checked.
    try:
        return Settings.load(environ, env_file), False
    except SettingsError:
        return None, False


async def _point(say: Say, name: str, work: Awaitable[str], patience: float) -> bool:
    notice = asyncio.get_running_loop().call_later(patience, say, f"{name}: still waiting for an answer.")
    try:
        say(f"{name}: ok. {await work}")
    except BotError as error:
        say(f"{name}: {error}")
        return False
    finally:
        notice.cancel()
    return True


async def _database(settings: Settings) -> str:
    database = database_of(settings)
    if isinstance(database, DatabaseServer):
        return await _database_server(database)
    async with chosen_by(settings), open_store(database, exclusive=False):
        return f"Conversations are kept in {await asyncio.to_thread(database.resolve)}."


async def _database_server(database: DatabaseServer) -> str:
    """Opening it has tested the server's version, and the rights to make tables and to write."""
    async with processes_on(database) as processes:
        server, running = await processes.server(), await processes.all()
    each = connections_of_a_process()
    now = len(fresh(running))
    enough_for = server.connections // each
    if enough_for < max(now, 1):
        needed = f"the bot's {now} processes need" if now > 1 else "the bot needs"
        raise BotError(
            f"{database} has {max(0, server.connections)} connections for the bot, and {needed} up to"
            f" {each * max(now, 1)}: raise max_connections, or the limit of this user or database."
        )
    sentences = [
        f"Conversations are kept in {database}.",
        f"It has connections for {enough_for} process{'' if enough_for == 1 else 'es'} of the bot; running: {now}.",
    ]
    if abs(server.clock_ahead) > _CLOCK_DIFFERENCE:
        direction = "ahead of" if server.clock_ahead > 0 else "behind"
        sentences.append(
            f"Its clock is {abs(server.clock_ahead):.0f} s {direction} this computer's: have both set by NTP, since the"
            " processes of a bot go by both."
        )
    return " ".join(sentences)


async def _model(server_name: str, settings: Settings, container_marks: Sequence[Path]) -> str:
    """Ask all models of one server. Returns that they answer; raises BotError for the first that does not."""
    server = settings.all_model_servers[server_name]
    used = {
        name: setting
        for model, setting in settings.generation.named_in.items()
        for at, name in [settings.model_servers_by_name.split(model)]
        if at == server_name
    }
    answering = {name: setting for name, setting in used.items() if setting != TRANSCRIPTION_MODEL}
    read = list[str]()
    async with OpenAIModel.of(server, settings) as model:
        for name, setting in answering.items():
            try:
                read.append(await _probe(model, name, settings.reply_tokens))
                # OpenAI refuses what is too long, and is paid for each token.
                if not model.is_openai:
                    read.append(await read_context(model, name, settings.context_tokens, settings.reply_tokens))
                read.append(await sees(model, name, setting))
            except ModelError as error:
                if error.nothing_answered:
                    hint = _container_hint(server.base_url or "", container_marks)
                elif error.failure is FailureReason.UNREACHABLE:
                    hint = ""
                else:
                    hint = await _models_hint(name, model, setting)
                detail = _with_servers_words(error)
                stop = "" if detail.endswith((".", "!", "?", "…")) else "."
                raise BotError(f"{detail}{stop} {hint}" if hint else detail) from None
        listed = await _listed(model)
    if not used:
        example = f"{server_name}:{next(iter(listed), 'MODEL')}" if server_name else next(iter(listed), "MODEL")
        return f"No model of it is used yet. Add one to MODELS, such as {example}."
    if answering:
        *others, last = answering
        answer = f"{', '.join(others)} and {last} at" if others else f"{last} at"
        sentences = [f"{answer} {server.base_url or 'OpenAI'} answer{'' if others else 's'}."]
    else:
        sentences = ["It is used for voice messages alone."]
    sentences += [_shutdown(name, day, setting) for name, setting in used.items() if (day := listed.get(name))]
    return " ".join(filter(None, [*sentences, *read]))


async def _transcription(name: str, settings: Settings) -> str:
    """Have a recording transcribed. Returns that this works; raises BotError if it does not."""
    server_name, model_name = settings.model_servers_by_name.split(name)
    server = settings.all_model_servers.get(server_name)
    if server is None:
        return f"{name} is not asked, because no model server is set."
    async with OpenAIModel.of(server, settings) as model:
        try:
            await model.transcribe(silence(_PROBE_SECONDS), model=model_name)
        except ModelError as error:
            raise BotError(_with_servers_words(error)) from None
    return f"{model_name} at {server.base_url or 'OpenAI'} transcribes them."


def _with_servers_words(error: ModelError) -> str:
    """What went wrong. No message of a person was sent, so the server's own text can be shown."""
    return f"{error.detail} It said: {error.server_message}" if error.server_message else error.detail


async def _probe(model: OpenAIModel, name: str, reply_tokens: int) -> str:
    """Ask a model as a turn does. Returns a sentence if its reply has no room, or nothing. Raises ModelError."""
    try:
        await model.probe(name, reply_tokens)
    except ContextTooLong:
        # The bot lowers what does not fit.
        await model.probe(name, min(reply_tokens, MINIMUM_REPLY_TOKENS))
        return (
            f"{name} cannot write replies of REPLY_TOKENS, {reply_tokens} tokens, so its replies are shorter. Give it a"
            " longer context, or lower REPLY_TOKENS in .env."
        )
    return ""


async def _listed(model: OpenAIModel) -> Mapping[str, date | None]:
    try:
        return await model.models()
    except ModelError:
        return {}


def _shutdown(name: str, day: date, setting: str) -> str:
    is_ = "is" if day >= datetime.now(UTC).date() else "was"
    return f"{setting} {name} {is_} shut down on {day}: choose another."


def _container_hint(base_url: str, container_marks: Sequence[Path]) -> str:
    """A hint for when nothing answers, if this is a container and the server is meant to be outside it."""
    url = urlsplit(base_url)
    if url.hostname not in (*_LOOPBACK, _OUTSIDE) or not any(mark.exists() for mark in container_marks):
        return ""
    if url.hostname == _OUTSIDE:
        return (
            f"On Linux, start the container with `--add-host {_OUTSIDE}:host-gateway`, and let the model server listen"
            " on all addresses, not only on 127.0.0.1."
        )
    port = f":{url.port}" if url.port else ""
    outside = url._replace(netloc=f"{_OUTSIDE}{port}").geturl()
    return (
        f"In a container, {url.hostname} is the container itself; a server outside it, on this computer, is {outside}."
    )


async def _models_hint(name: str, model: OpenAIModel, setting: str) -> str:
    """A hint on a refused model: the server's models, the most similar first; or, if it is listed, its shutdown day."""
    listed = await _listed(model)
    if name in listed:
        day = listed[name]
        return _shutdown(name, day, setting) if day else ""
    if not listed:
        return ""
    offered = list(listed)
    near = get_close_matches(name, offered, n=_LISTED_MODELS, cutoff=0.3)
    first = [*near, *(other for other in offered if other not in near)][:_LISTED_MODELS]
    return f"{'Some of the' if len(first) < len(offered) else 'The'} models there: {', '.join(first)}."


async def _discord(token: Secret, settings: Settings) -> str:
    from bot.discord_bot.check import account
    from bot.discord_bot.runner import MESSAGE_CONTENT_REMEDY

    found = await account(token.reveal(), settings.access, settings.network)
    owner = found.owner if found.team is None else f"the team {found.team}"
    sentences = [f"{found.bot}, owned by {owner}, is in {_servers(found.servers, found.served)}."]
    if found.served < found.servers:
        sentences.append("It leaves the other servers after a day (see SERVERS).")
    if found.team is not None:
        whose = (
            "Servers with any of the team's members are served, and"
            if settings.access.servers.owner
            else "Of the team,"
        )
        sentences.append(f"{whose} its owner, {found.owner}, gets the bot's warnings.")
    if settings.message_content and not found.message_content:
        raise BotError(f"MESSAGE_CONTENT is set, but its intent is off. {MESSAGE_CONTENT_REMEDY}")
    if settings.message_content:
        sentences.append("It may read messages that do not mention it, where moderators choose so with /server.")
    elif found.message_content:
        sentences.append("Its Message Content Intent is on, but not used: set MESSAGE_CONTENT=true, or switch it off.")
    mine = settings.shards
    fixed = mine.count if isinstance(mine, WantedShards) else mine
    sentences.append(_shards(found, fixed))
    return f"{' '.join(sentences)} Invite link: {found.invite}"


def _shards(found: Account, fixed: int | None) -> str:
    """What Discord says of the shards of a bot, which may have a `fixed` number of them."""
    recommended = "1 shard" if found.recommended_shards == 1 else f"{found.recommended_shards} shards"
    differs = "" if fixed in (None, found.recommended_shards) else f" (SHARDS={fixed})"
    said = f"Discord recommends {recommended}{differs}; session starts left: {found.session_starts}."
    if found.session_starts >= (fixed or found.recommended_shards):
        return said
    at = datetime.now(UTC) + timedelta(seconds=found.session_starts_reset_after)
    return f"{said} The bot will wait with its start until {at:%Y-%m-%d %H:%M} UTC."


def _servers(count: int, served: int) -> str:
    match count:
        case 0:
            return "no server yet"
        case 1:
            return f"1 server and {'serves' if served else 'does not serve'} it"
        case many:
            return f"{many} servers and serves {'all' if served == many else served or 'none'} of them"
