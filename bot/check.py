"""Goes through a set-up and says for each point that it is well, or what to do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from difflib import get_close_matches
from pathlib import Path
from urllib.parse import urlsplit

from bot import config
from bot.config import Settings
from bot.errors import BotError, ModelError, SettingsError
from bot.llm import OpenAIModel
from bot.store import SQLiteStore
from bot.turns import Problem

_LISTED_MODELS = 12
_CONTAINER_MARKS = (Path("/.dockerenv"), Path("/run/.containerenv"))


async def check(environ: Mapping[str, str], say: Callable[[str], None] = print) -> bool:
    """Check settings, database, model and Discord, whatever of it there is. True: all is well."""
    try:
        settings = Settings.load(environ, needs=(config.DISCORD, config.MODEL))
    except SettingsError as error:
        for problem in error.problems:
            say(f"Settings: {problem}")
        # What is missing must not hide what can be tried: only settings that are wrong end it here.
        try:
            settings = Settings.load(environ)
        except SettingsError:
            return False
        well = False
    else:
        say("Settings: ok.")
        well = True
    well &= await _point(say, "Database", _database(settings))
    if settings.model_configured:
        well &= await _point(say, "Model", _model(settings))
    if settings.discord_token is not None:
        well &= await _point(say, "Discord", _discord(settings.discord_token))
    say("All is well: start the bot with `python -m bot`." if well else "Not ready yet: see above.")
    return well


async def _point(say: Callable[[str], None], name: str, work: Awaitable[str]) -> bool:
    try:
        say(f"{name}: ok. {await work}")
    except BotError as error:
        say(f"{name}: {error}")
        return False
    return True


async def _database(settings: Settings) -> str:
    path = settings.database_path
    async with SQLiteStore.open(path, exclusive=False):
        return f"Conversations are kept in {path}."


async def _model(settings: Settings) -> str:
    async with OpenAIModel.of(settings) as model:
        try:
            await model.probe()
        except ModelError as error:
            hint = await _model_hint(error, model, settings)
            raise BotError(f"{error.detail} {hint}".strip()) from None
    return f"{settings.openai_model} at {settings.openai_base_url or 'OpenAI'} answers."


async def _model_hint(error: ModelError, model: OpenAIModel, settings: Settings) -> str:
    if error.problem is Problem.UNREACHABLE:
        host = urlsplit(settings.openai_base_url or "").hostname
        if host in ("localhost", "127.0.0.1", "::1") and any(map(Path.exists, _CONTAINER_MARKS)):
            return (
                f"In a container, {host} is the container itself: for a server on this machine put "
                "host.docker.internal in OPENAI_BASE_URL."
            )
        return ""
    try:
        offered = await model.models()
    except ModelError:
        return ""
    if not offered or settings.openai_model in offered:
        return ""
    near = get_close_matches(settings.openai_model, offered, n=_LISTED_MODELS, cutoff=0.3)
    listed = [*near, *(name for name in offered if name not in near)][:_LISTED_MODELS]
    return f"Models there: {', '.join(listed)}{', …' if len(offered) > len(listed) else ''}."


async def _discord(token: config.Secret) -> str:
    from bot.discord_bot.check import account

    found = await account(token.reveal())
    servers = "no server yet" if found.servers == 0 else f"{found.servers} server{'s' if found.servers > 1 else ''}"
    return f"The token is that of {found.bot}, owned by {found.owner}, in {servers}. Invite it: {found.invite}"
