"""The format of the log, as text or JSON. No line holds a secret, and none a message unless LOG_MESSAGES allows it."""

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
"""Libraries that log each request at INFO."""
_SHORTEST_SECRET = 8
"""Characters. Shorter secrets are placeholders for a key, such as "ollama", which are ordinary words too."""
_INTERACTION_TOKEN = re.compile(r"(/(?:interactions|webhooks)/\d+/)[\w.~%-]+")
"""The token in an address that discord.py logs. For 15 minutes anybody with it can send messages as the bot:
https://discord.com/developers/docs/interactions/receiving-and-responding"""
_CONTROL = re.compile(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Control characters, also of lines and of the direction of text: https://www.unicode.org/reports/tr9/#Bidi_Control"""


def to_stderr(level: str, *, form: str, messages: bool, secrets: Sequence[str]) -> None:
    """Log to standard error, with Python's warnings and uncaught exceptions.

    `form` is `text`, or `json` for one object a line. With `messages`, lines hold the texts of prompts and replies.
    `secrets` are masked in all lines. A `level` below INFO applies to our own lines only, because below INFO libraries
    log what people wrote.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter((_JsonFormatter if form == "json" else _TextFormatter)(messages, secrets))
    logging.basicConfig(level=max(logging.INFO, logging.getLevelName(level)), handlers=[handler])
    logging.getLogger(_OURS).setLevel(level)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelName(level)))
    logging.captureWarnings(True)
    sys.excepthook = _uncaught
    threading.excepthook = lambda args: _uncaught(args.exc_type, args.exc_value, args.exc_traceback)


def _uncaught(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    logging.getLogger(_OURS).critical("an unexpected error (a bug)", exc_info=(kind, error or kind(), trace))


class _MaskingFormatter(logging.Formatter):
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


class _TextFormatter(_MaskingFormatter):
    """Lines for people. Further lines of a message are indented, so that no text can look like a line of the log."""

    def format(self, record: logging.LogRecord) -> str:
        lines = [self._mask(super().format(record)), *(f"{name}: {text}" for name, text in self._texts(record).items())]
        return _CONTROL.sub(lambda found: repr(found[0])[1:-1], "\n".join(lines).replace("\n", "\n    "))


class _JsonFormatter(_MaskingFormatter):
    """Lines for programs: one JSON object each, in ASCII."""

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
