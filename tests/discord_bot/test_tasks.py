"""What becomes of background tasks at a shutdown, in virtual time."""

from __future__ import annotations

import asyncio
from typing import get_args

import pytest

from bot.discord_bot.tasks import OnShutdown, TaskSupervisor
from tests import virtual_time

ALL: tuple[OnShutdown, ...] = get_args(OnShutdown)


class Job:
    """A task's work of some seconds, and how it ended."""

    def __init__(self) -> None:
        self.end = "running"

    async def run(self, seconds: float) -> None:
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            self.end = "cancelled"
            raise
        self.end = "done"


async def ends(seconds: float, drain: float, *, close: bool) -> tuple[dict[OnShutdown, str], float]:
    """How one task of each kind stands after a drain and perhaps a close, and how long the drain took."""
    tasks, clock = TaskSupervisor(), asyncio.get_running_loop().time
    jobs = {kind: Job() for kind in ALL}
    for kind, job in jobs.items():
        tasks.spawn(job.run(seconds), on_shutdown=kind)
    await asyncio.sleep(0)
    began = clock()
    await tasks.drain(drain)
    took = clock() - began
    if close:
        tasks.close()
    await asyncio.sleep(0)
    return {kind: job.end for kind, job in jobs.items()}, took


def test_drain_waits_for_changes_only() -> None:
    found, took = virtual_time.run(ends(1.0, 5.0, close=False))
    assert found == {"drain": "done", "cancel": "cancelled", "keep": "done"}
    assert took == pytest.approx(1.0)


def test_drain_gives_up_in_time() -> None:
    found, took = virtual_time.run(ends(60.0, 5.0, close=False))
    assert found == {"drain": "running", "cancel": "cancelled", "keep": "running"}
    assert took == pytest.approx(5.0)


def test_close_cancels_all_but_kept_tasks() -> None:
    found, _ = virtual_time.run(ends(60.0, 5.0, close=True))
    assert found == {"drain": "cancelled", "cancel": "cancelled", "keep": "running"}


@pytest.mark.parametrize("kind", ALL)
def test_a_failing_task_is_logged(kind: OnShutdown, caplog: pytest.LogCaptureFixture) -> None:
    async def fail() -> None:
        raise ValueError("a defect")

    async def main() -> None:
        TaskSupervisor().spawn(fail(), on_shutdown=kind)
        await asyncio.sleep(1)

    virtual_time.run(main())
    assert "a task failed because of a bug" in caplog.text
    assert "ValueError: a defect" in caplog.text
