"""Logs statements that fail through a bug of the bot's own, with where they were asked for: each bug so once."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from bot.core.errors import StoreBug

_MOST_KNOWN = 100
"""Bugs that are told from new ones. Further ones are logged in full each time."""

_log = logging.getLogger(__name__)


class Bugs:
    """The bugs that one engine has met."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    @contextmanager
    def logged(self) -> Iterator[None]:
        """Log a StoreBug that is raised during the block."""
        try:
            yield
        except StoreBug as error:
            known = str(error) in self._known
            if len(self._known) < _MOST_KNOWN:
                self._known.add(str(error))
            # What is done each second would fill the log.
            _log.error(
                "a database statement failed because of a bug: %s",
                error,
                exc_info=None if known else error,
                stack_info=not known,
            )
            raise
