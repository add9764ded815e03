"""What all tests share: hypothesis profiles, a limit on the CPU time of callbacks, and faults that must strike."""

from __future__ import annotations

import asyncio
import gc
import importlib
import os
import shutil
import tempfile
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from tests import virtual_time
from tests.armed import missed_faults
from tests.callbacks import watched

pytest_plugins = ["tests.postgresql", "tests.sqlite"]

# The same examples in every run, so that a change is judged by what it changed; `--hypothesis-profile=hunt` draws
# new ones.
settings.register_profile("steady", max_examples=50, derandomize=True, deadline=None)
settings.register_profile("hunt", max_examples=2000, deadline=None)
settings.load_profile("steady")

# Processes that the tests start keep what they compile, or else each would compile all of the bot again.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def _in_memory() -> Path | None:
    """A folder in memory with room for all that tests write, where programs may run."""
    folder = Path("/dev/shm")  # noqa: S108 -- Linux's own
    if not folder.is_dir() or not os.access(folder, os.W_OK) or os.statvfs(folder).f_flag & os.ST_NOEXEC:
        return None
    return folder if shutil.disk_usage(folder).free > 4 * 2**30 else None


# Most tests make a database or two, and some file systems take a millisecond for each file.
if "TMPDIR" not in os.environ and (folder := _in_memory()):
    os.environ["TMPDIR"] = str(folder)
    tempfile.tempdir = None


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--shards", type=int, default=1, help="how many shards Discord recommends to the bot")


@pytest.hookimpl(tryfirst=True)
def pytest_collection(session: pytest.Session) -> None:
    """Import the modules of all tests, each worker beginning elsewhere.

    To rewrite the assertions of a module takes longer than to import it. In one order, every worker would do it itself.
    """
    worker: dict[str, Any] | None = getattr(session.config, "workerinput", None)
    if worker is None or session.config.args != session.config.getini("testpaths"):
        return
    root = session.config.rootpath
    names = sorted(".".join(file.relative_to(root).with_suffix("").parts) for file in root.glob("tests/**/test_*.py"))
    begin = int(worker["workerid"].removeprefix("gw")) * len(names) // worker["workercount"]
    for name in (*names[begin:], *names[:begin]):
        importlib.import_module(name)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with those that take long, or the last of them would run while everything else is done."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


def pytest_collection_finish() -> None:
    """Thousands of tests and their modules stay to the end: no collection of garbage has to look at them again."""
    gc.collect()
    gc.freeze()


def pytest_asyncio_loop_factories(item: pytest.Item) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run a test marked `virtual_time`, and its fixtures, on a loop whose clock does not wait."""
    virtual = item.get_closest_marker("virtual_time") is not None and item.get_closest_marker("real_time") is None
    return {"loop": virtual_time.Loop if virtual else asyncio.new_event_loop}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    """Fail a test in which a callback used too much CPU time. Fixtures, and so the bot's start, are not part of it."""
    with watched() as slow:
        result = yield
    assert not slow, "everybody waited for this: " + "; ".join(slow)
    return result


@pytest.fixture(autouse=True)
def faults_strike(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that arms a fault which never strikes, unless it is marked `fault_may_miss` with the reason."""
    with missed_faults() as missed:
        yield
    marker = request.node.get_closest_marker("fault_may_miss")
    if marker is None:
        assert not missed, f"armed, but never struck: {missed}"
    else:
        [reason] = marker.args
        assert reason, "the mark fault_may_miss needs a reason"
