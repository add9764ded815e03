"""The page's address, which outlasts a restart."""

from __future__ import annotations

import os
import socket
import stat
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from bot.playground.address import Address
from bot.standin.model import ModelStandin
from tests.playground.conftest import playing


def age(file: Path, hours: float) -> None:
    then = time.time() - hours * 3600
    os.utime(file, (then, then))


async def test_address_is_the_same_for_a_day(model: ModelStandin, tmp_path: Path) -> None:
    database, kept = tmp_path / "playground.db", tmp_path / "playground.db.address"
    async with playing(model, database) as home:
        address = home.url
        assert stat.S_IMODE(kept.stat().st_mode) == 0o600
        age(kept, 30)
    assert time.time() - kept.stat().st_mtime < 600, "the day begins when the playground ends"
    age(kept, 23.9)
    async with playing(model, database) as home:
        assert home.url == address
        await (await home.tab()).say("I am back")
    age(kept, 24.1)
    async with playing(model, database) as home:
        assert home.url != address


async def test_secret_is_new_at_another_port(model: ModelStandin, tmp_path: Path) -> None:
    database = tmp_path / "playground.db"
    async with playing(model, database) as home:
        origin, secret = home.url.rstrip("/").rsplit("/", 1)
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", int(origin.rsplit(":", 1)[1])))
        taken.listen()
        async with playing(model, database) as home:
            assert not home.url.startswith(origin)
            assert secret not in home.url


@pytest.mark.parametrize(
    "spoil",
    [
        lambda file: file.chmod(0o640),
        lambda file: file.write_text("{"),
        lambda file: file.write_bytes(b"\xff"),
        lambda file: file.write_text('{"port": 8765, "secret": "short"}'),
        lambda file: file.write_text('{"port": 0, "secret": "x2345678901234567890_-"}'),
        lambda file: file.write_text('{"port": 65536, "secret": "x2345678901234567890_-"}'),
        lambda file: file.unlink(),
    ],
)
def test_spoilt_address_is_not_used(tmp_path: Path, spoil: Callable[[Path], object]) -> None:
    file = tmp_path / "address"
    address = Address.new(8765)
    address.keep(file)
    assert Address.read(file) == address
    spoil(file)
    assert Address.read(file) is None
