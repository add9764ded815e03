"""The database that the settings choose. Errors about it name the option or the setting that does."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext

from bot.config import Settings
from bot.core.errors import StoreUnusable
from bot.store.databases import Database, DatabaseServer


@asynccontextmanager
async def chosen_with(option: str) -> AsyncIterator[None]:
    """Add the option that chooses the file to an error that lasts until somebody changes something."""
    try:
        yield
    except StoreUnusable as error:
        raise StoreUnusable(f"{error} Choose the file with {option}.") from error


def database_of(settings: Settings) -> Database:
    return settings.database_path if settings.database_url is None else DatabaseServer(settings.database_url.reveal())


def chosen_by(settings: Settings) -> AbstractAsyncContextManager[None]:
    """`chosen_with` the setting, in the place where it is set. Errors about a server name theirs by themselves."""
    if settings.database_url is not None:
        return nullcontext()
    return chosen_with(f"DATABASE_PATH in {settings.origins.place_of('DATABASE_PATH')}")
