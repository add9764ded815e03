"""What a chat is started with."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.standin.model import ModelStandin

ROOT = Path(__file__).parents[2]


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """What a chat is started with: nothing of the one who runs the tests."""
    return {
        "PATH": os.environ["PATH"],
        "SYSTEMROOT": os.environ.get("SYSTEMROOT", ""),
        "PYTHONPATH": str(ROOT),
        "PYTHONIOENCODING": "utf-8",  # and strict, unlike what the C locale gives
        "INPUTRC": os.devnull,
        "TERM": "dumb",
        "DATABASE_PATH": str(tmp_path / "chat.db"),
    }


@pytest.fixture
async def model(environ: dict[str, str]) -> AsyncIterator[ModelStandin]:
    async with ModelStandin() as server:
        environ["OPENAI_BASE_URL"] = server.base_url
        yield server
