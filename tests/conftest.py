"""What all tests share: the profiles of the property tests, and that no callback keeps everybody waiting."""

from __future__ import annotations

from collections.abc import Generator

import pytest
from hypothesis import settings

from tests.callbacks import watched

# The same examples in every run, so that a change is judged by what it changed; `--hypothesis-profile=hunt` draws
# new ones.
settings.register_profile("steady", max_examples=50, derandomize=True, deadline=None)
settings.register_profile("hunt", max_examples=2000, deadline=None)
settings.load_profile("steady")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, object, object]:
    """Fail a test in which a callback used too much CPU time. Fixtures, and so the bot's start, are not part of it."""
    with watched() as slow:
        result = yield
    assert not slow, "everybody waited for this: " + "; ".join(slow)
    return result
