"""Names the option or the setting that chooses a database file in the errors about that file."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from bot.config import Settings
from bot.core.errors import StoreUnusable


@asynccontextmanager
async def chosen_with(option: str) -> AsyncIterator[None]:
    """Add the option that chooses the file to an error that lasts until somebody changes something."""
    try:
        yield
    except StoreUnusable as error:
        raise StoreUnusable(f"{error} Choose the file with {option}.") from error


def chosen_by(settings: Settings) -> AbstractAsyncContextManager[None]:
    """`chosen_with` the setting, in the place where it is set."""
    return chosen_with(f"DATABASE_PATH in {settings.origins.place_of('DATABASE_PATH')}")
