"""A set-up of the bot's, and what `python -m bot check` says of it."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path

import pytest

from bot.discord_bot.endpoint import connect_to
from bot.operator.check import check
from bot.standin.model import ModelStandin
from bot.standin.server import DiscordStandin

KEY = "sk-very-secret-0123456789"

Look = Callable[..., Awaitable[tuple[bool, list[str]]]]


@pytest.fixture
async def discord() -> AsyncIterator[DiscordStandin]:
    async with DiscordStandin() as standin:
        with connect_to(standin.url, standin.gateway_url, standin.cdn_url):
            yield standin
        assert standin.unknown_routes == []


@pytest.fixture
async def model() -> AsyncIterator[ModelStandin]:
    async with ModelStandin() as standin:
        yield standin


@pytest.fixture
def settings(discord: DiscordStandin, model: ModelStandin, tmp_path: Path) -> Mapping[str, str]:
    """A set-up that works."""
    return {
        "DISCORD_TOKEN": discord.token,
        "OPENAI_API_KEY": KEY,
        "OPENAI_BASE_URL": model.base_url,
        "OPENAI_MODEL": "demo",
        "DATABASE_PATH": str(tmp_path / "parley.db"),
    }


@pytest.fixture
def look(settings: Mapping[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Look:
    """Check the set-up with some settings changed: whether all is well, and every line that was said."""

    async def look(
        container_marks: tuple[Path, ...] = (), patience: float = 60, **changes: str
    ) -> tuple[bool, list[str]]:
        lines: list[str] = []
        environ = {**settings, **changes}
        well = await check(
            environ,
            lines.append,
            env_file=tmp_path / ".env",
            container_marks=container_marks,
            patience=patience,
        )
        for name in ("DISCORD_TOKEN", "OPENAI_API_KEY"):
            assert not environ[name] or environ[name] not in "\n".join(lines)
        # Python would print them between the lines.
        assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []
        return well, lines

    return look
