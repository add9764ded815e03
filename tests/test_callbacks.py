"""The watch over callbacks that use too much CPU time."""

from __future__ import annotations

import asyncio
import gc
import importlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from tests.callbacks import limit, watched

BURNER = """
import time

def burn(seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass

async def handle(seconds):
    burn(seconds)
"""


@pytest.fixture
def other_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """Functions that are no test's."""
    (tmp_path / "burner.py").write_text(BURNER)
    monkeypatch.syspath_prepend(tmp_path)
    yield importlib.import_module("burner")
    del sys.modules["burner"]


def blamed(work: Callable[[], object]) -> list[str]:
    """What is found while `work` is called on a loop of its own, as a callback or in a task where it is one."""

    async def main() -> None:
        result = work()
        if asyncio.iscoroutine(result):
            await asyncio.create_task(result)
        await asyncio.sleep(0)

    with watched() as slow:
        asyncio.run(main())
    return slow


def test_slow_callbacks_and_tasks_are_found(other_code: ModuleType) -> None:
    burn, handle = other_code.burn, other_code.handle
    too_long = 4 * limit()
    (found,) = blamed(lambda: handle(too_long))
    assert "handle" in found
    (found,) = blamed(lambda: (asyncio.get_running_loop().call_soon(burn, too_long), None)[1])
    assert "burn" in found


def test_waits_imports_and_tests_are_not_blamed(
    other_code: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    burn, too_long = other_code.burn, 4 * limit()
    loop = asyncio.get_running_loop

    async def of_a_test() -> None:
        burn(too_long)

    def collect(phase: str, _details: object) -> None:
        if phase == "stop":
            burn(too_long)

    (tmp_path / "slow_to_import.py").write_text(f"{BURNER}\nburn({too_long})\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert blamed(of_a_test) == []
    assert blamed(lambda: (loop().call_soon(time.sleep, too_long), None)[1]) == []
    assert blamed(lambda: (loop().call_soon(__import__, "slow_to_import"), None)[1]) == []
    assert "slow_to_import" in sys.modules
    gc.callbacks.insert(0, collect)
    try:
        assert blamed(lambda: (loop().call_soon(gc.collect), None)[1]) == []
    finally:
        gc.callbacks.remove(collect)
