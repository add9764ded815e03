"""A fault that a test arms has to strike: otherwise the test shows nothing about it, and nobody notices."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from bot.standin.model import ModelStandin
from bot.standin.server import DiscordStandin


@contextmanager
def missed_faults() -> Iterator[list[object]]:
    """The faults that were armed at stand-ins that end in this block, and that had not struck by then."""
    missed: list[object] = []
    discord_exit, model_exit = DiscordStandin.__aexit__, ModelStandin.__aexit__

    async def discord_ends(standin: DiscordStandin, *error: Any) -> None:
        missed.extend(fault.action for fault in standin.faults.never_struck)
        await discord_exit(standin, *error)

    async def model_ends(standin: ModelStandin, *error: Any) -> None:
        missed.extend(standin.never_struck)
        await model_exit(standin, *error)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DiscordStandin, "__aexit__", discord_ends)
        patch.setattr(ModelStandin, "__aexit__", model_ends)
        yield missed
