"""Retries and polling, in virtual time."""

from __future__ import annotations

import asyncio
from itertools import repeat

import pytest

from bot.core.errors import ClaimUnconfirmed, StoreBug, StoreError
from bot.core.retrying import poll_until, retrying
from tests import virtual_time


class Flaky:
    """Work that fails with each of the errors in turn and then succeeds; keeps the moments at which it was called."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)
        self.called_at: list[float] = []

    async def __call__(self) -> str:
        self.called_at.append(asyncio.get_running_loop().time())
        if self._errors:
            raise self._errors.pop(0)
        return "done"

    @property
    def pauses(self) -> list[float]:
        return [later - earlier for earlier, later in zip(self.called_at, self.called_at[1:], strict=False)]


def test_retry_waits_each_delay() -> None:
    work = Flaky(OSError("first"), TimeoutError("second"))
    logged: list[tuple[str, float]] = []
    retry = retrying(work, (1.0, 10.0, 60.0), on=(OSError,), log_retry=lambda e, delay: logged.append((str(e), delay)))
    assert virtual_time.run(retry) == "done"
    assert work.pauses == pytest.approx([1.0, 10.0])
    assert logged == [("first", 1.0), ("second", 10.0)]


def test_last_error_is_raised() -> None:
    work = Flaky(*(OSError(f"{number}") for number in range(5)))
    with pytest.raises(OSError, match=r"^2$"):
        virtual_time.run(retrying(work, (1.0, 5.0), on=(OSError,)))
    assert work.pauses == pytest.approx([1.0, 5.0])


def test_what_is_unconfirmed_uses_up_no_delay() -> None:
    unconfirmed = [ClaimUnconfirmed() for _ in range(50)]
    work, logged = Flaky(*unconfirmed, StoreError("1"), *unconfirmed, StoreError("2"), StoreError("3")), list[str]()
    retry = retrying(work, (1.0, 5.0), on=(StoreError,), log_retry=lambda error, _: logged.append(str(error)))
    with pytest.raises(StoreError, match=r"^3$"):
        virtual_time.run(retry)
    assert work.pauses == pytest.approx([1.0] * 101 + [5.0])
    assert logged == ["", "1", "", "2"], "once for each wait"


def test_endless_delays_never_give_up() -> None:
    work = Flaky(*(OSError() for _ in range(100)))
    assert virtual_time.run(retrying(work, repeat(300.0), on=(OSError,))) == "done"
    assert work.pauses == pytest.approx([300.0] * 100)


def test_other_errors_are_raised_at_once() -> None:
    work = Flaky(ValueError("a defect"))
    with pytest.raises(ValueError, match="a defect"):
        virtual_time.run(retrying(work, repeat(1.0), on=(OSError,)))
    assert work.pauses == []


def test_cancellation_ends_the_retries() -> None:
    async def cancelled() -> list[float]:
        work = Flaky(OSError())
        task = asyncio.create_task(retrying(work, repeat(60.0), on=(OSError, Exception)))
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        return work.called_at

    assert len(virtual_time.run(cancelled())) == 1


@pytest.mark.parametrize(
    ("true_after", "timeout", "found", "took"),
    [
        (0.0, 0.0, True, 0.0),
        (0.5, 2.0, True, 0.6),
        (1.0, 1.0, True, 1.0),
        (9.0, 1.0, False, 1.0),
        (9.0, 0.0, False, 0.0),
    ],
)
def test_polling_ends_with_the_condition_or_the_time(
    true_after: float, timeout: float, found: bool, took: float
) -> None:
    async def poll() -> tuple[bool, float]:
        clock = asyncio.get_running_loop().time
        began = clock()

        async def condition() -> bool:
            return clock() - began >= true_after - 1e-6

        return await poll_until(condition, every=0.3, timeout=timeout), clock() - began

    value, seconds = virtual_time.run(poll())
    assert value is found
    assert seconds == pytest.approx(took)


async def test_bug_is_not_tried_again() -> None:
    work = Flaky(StoreBug("a bug"))
    with pytest.raises(StoreBug):
        await retrying(work, repeat(1.0), on=(StoreError,))
    assert len(work.called_at) == 1
