"""The log: what is said of a turn, and how every line is written; never a secret, and no message unless asked for."""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from types import TracebackType

from bot.core.log_entries import TurnLogEntry

_OURS = "bot"
_TALKATIVE = ("openai", "httpx2", "httpcore2")
"""Libraries that log each request."""
_SHORTEST_SECRET = 8
"""Shorter ones are stand-ins for a key, such as "ollama", and words of much else."""
_INTERACTION_TOKEN = re.compile(r"(/(?:interactions|webhooks)/\d+/)[\w.~%-]+")
"""With it anybody can speak as the bot for 15 minutes; discord.py logs the addresses that hold it."""
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029]")


def to_stderr(level: str, *, form: str, messages: bool, secrets: Sequence[str]) -> None:
    """Log to standard error from now on, also the warnings and the exceptions that nobody caught.

    `form` is `text`, or `json` for one object a line; `messages`, whether what was said is part of a line;
    `secrets` are masked wherever they turn up. `level` below INFO is for our own lines: there libraries log what people
    wrote.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter((_Objects if form == "json" else _Lines)(messages, secrets))
    logging.basicConfig(level=max(logging.INFO, logging.getLevelName(level)), handlers=[handler])
    logging.getLogger(_OURS).setLevel(level)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelName(level)))
    logging.captureWarnings(True)
    sys.excepthook = _uncaught
    threading.excepthook = lambda args: _uncaught(args.exc_type, args.exc_value, args.exc_traceback)


def _uncaught(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    logging.getLogger(_OURS).critical("a defect that nothing caught", exc_info=(kind, error or kind(), trace))


class _Masked(logging.Formatter):
    def __init__(self, messages: bool, secrets: Sequence[str]) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
        self._messages = messages
        self._secrets = [secret for secret in secrets if len(secret) >= _SHORTEST_SECRET]

    def _texts(self, record: logging.LogRecord) -> dict[str, str]:
        if not self._messages:
            return {}
        said = record.msg.texts() if isinstance(record.msg, TurnLogEntry) else getattr(record, "texts", {})
        return {name: self._mask(text) for name, text in said.items()}

    def _mask(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return _INTERACTION_TOKEN.sub(r"\1***", text)


class _Lines(_Masked):
    """For people. What goes on in a further line is indented, so that no text can pass for a line of the log."""

    def format(self, record: logging.LogRecord) -> str:
        lines = [self._mask(super().format(record)), *(f"{name}: {text}" for name, text in self._texts(record).items())]
        return _CONTROL.sub(lambda found: repr(found[0])[1:-1], "\n".join(lines).replace("\n", "\n    "))


class _Objects(_Masked):
    """For programs: one JSON object a line, in ASCII."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": self._mask(record.getMessage()),
        }
        if isinstance(record.msg, TurnLogEntry):
            entry |= record.msg.fields()
        entry |= self._texts(record)
        if record.exc_info:
            entry["exception"] = self._mask(self.formatException(record.exc_info))
        if record.stack_info:
            entry["stack"] = self._mask(record.stack_info)
        return json.dumps(entry)
