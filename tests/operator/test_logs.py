"""What stands in the log, as whoever reads standard error finds it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.waiting import FOR_A_PROCESS

TOKEN = "MTA.fake.0123456789-secret"
KEY = "sk-a-secret-0123456789"
SETUP = f"""
import logging, threading, warnings
from bot.core.log_entries import TurnLogEntry, with_texts; from bot.operator.logs import to_stderr
from bot.core.turns import Conversation, FailureReason, StopReason, TurnState; from bot.core.quotas import Usage
log = logging.getLogger("bot.somewhere")
turn = TurnLogEntry(
    conversation=Conversation("discord", "42"), prompt_id=7, turn=3, attempt=2, state=TurnState.STOPPED,
    failure=FailureReason.LENGTH,
    stop_reason=StopReason.PROMPT_DELETED, waited=0.01234, first_text=None, total=12.5, usage=Usage(300, 54),
    messages=2, prompt="what she said\\n2031-01-01 ERROR forged", reply="what it said \u001b[2J",
)
def start(level="DEBUG", form="text", messages=False):
    to_stderr(level, form=form, messages=messages, secrets=["{TOKEN}", "{KEY}", "ollama"])
"""


def logged(code: str) -> str:
    """The standard error of a process that sets the log up and runs this code, which may fail."""
    done = subprocess.run(  # noqa: S603 - our own code
        [sys.executable, "-W", "default", "-c", SETUP + code],
        capture_output=True,
        text=True,
        check=False,
        timeout=FOR_A_PROCESS,
    )
    return done.stderr


def lines(code: str) -> list[Mapping[str, Any]]:
    """The same as the objects that are one line each."""
    return [json.loads(line) for line in logged(code).splitlines()]


def test_turn_is_one_text_line() -> None:
    line = logged("start(); log.info(turn)")
    _, _, said = line.partition("INFO    bot.somewhere: ")
    assert said == (
        "turn 3 in discord:42: stopped (length, prompt deleted); prompt 7, attempt 2; waited 0.0 s, first text -,"
        " in all 12.5 s; 17 characters in messages: 2; tokens 300 + 54\n"
    )


def test_log_tells_cached_and_reasoning_tokens() -> None:
    [line] = logged(
        "start(); import dataclasses; log.info(dataclasses.replace(turn, usage=Usage(300, 54, 256, 40)))"
    ).splitlines()
    assert line.endswith("; tokens 300 (256 cached) + 54 (40 reasoning)")


def test_turn_is_one_json_object() -> None:
    [entry] = lines('start(form="json"); log.info(turn)')
    said = dict(entry)
    assert datetime.now(UTC) - datetime.fromisoformat(said.pop("time")) < timedelta(minutes=1)
    assert said.pop("message").startswith("turn 3 in discord:42: stopped")
    assert said == {
        "level": "INFO",
        "logger": "bot.somewhere",
        "conversation": "discord:42",
        "prompt_id": 7,
        "turn": 3,
        "attempt": 2,
        "state": "stopped",
        "failure": "length",
        "stop_reason": "prompt deleted",
        "waited_s": 0.012,
        "first_text_s": None,
        "total_s": 12.5,
        "prompt_tokens": 300,
        "reply_tokens": 54,
        "cached_tokens": 0,
        "reasoning_tokens": 0,
        "characters": 17,
        "messages": 2,
    }


def test_logged_messages_cannot_forge_a_line() -> None:
    said = logged('start(messages=True); log.info(turn); log.warning("a cause\\n2031-01-01 ERROR forged")')
    assert said.splitlines()[1:4] == [
        "    prompt: what she said",
        "    2031-01-01 ERROR forged",
        r"    reply: what it said \x1b[2J",
    ]
    turned = logged('start(); log.warning("safe\\u202eEVIL\\u2066\\u200f\\u061c\\x85")')
    assert turned.rstrip().endswith(r": safe\u202eEVIL\u2066\u200f\u061c\x85")
    assert not [line for line in said.splitlines() if line.startswith("2031")]
    [entry] = lines('start(form="json", messages=True); log.info(turn)')
    assert entry["prompt"] == "what she said\n2031-01-01 ERROR forged"
    assert entry["reply"] == "what it said \x1b[2J"


def test_server_errors_are_logged_only_with_messages() -> None:
    call = 'log.warning("it refused", extra=with_texts(server="you asked what she said"))'
    for form in ("text", "json"):
        assert "what she said" not in logged(f'start(form="{form}"); {call}')
    assert logged(f"start(messages=True); {call}").endswith("it refused\n    server: you asked what she said\n")
    [entry] = lines(f'start(form="json", messages=True); {call}')
    assert entry["server"] == "you asked what she said"


@pytest.mark.parametrize("form", ["text", "json"])
def test_secrets_are_masked_everywhere(form: str) -> None:
    said = logged(
        f"""
start(form="{form}", messages=True)
log.info("with %s and %r at ollama", "{TOKEN}", {{"Authorization": "Bearer {KEY}"}}, stack_info=True)
log.warning("POST https://discord.com/api/v10/webhooks/123/aW50ZXJhY3Rpb24_-x/messages/@original is limited")
log.warning("POST https://discord.com/api/v10/interactions/123/aW50ZXJhY3Rpb24_-x/callback is limited")
warnings.warn("{KEY}")
failing = threading.Thread(target=lambda: {{}}["{TOKEN}"])
failing.start()
failing.join()
raise RuntimeError("{KEY}")
"""
    )
    assert TOKEN not in said
    assert KEY not in said
    assert "aW50" not in said
    assert "with *** and" in said
    assert "at ollama" in said
    assert "/webhooks/123/***/messages/@original" in said
    assert "/interactions/123/***/callback" in said
    assert "UserWarning: ***" in said
    assert "KeyError: '***'" in said
    assert "RuntimeError: ***" in said


def test_uncaught_errors_are_json_objects() -> None:
    entries = lines(
        """
start(form="json")
try:
    1 / 0
except ZeroDivisionError:
    log.exception("failed")
warnings.warn("old")
thread = threading.Thread(target=lambda: int("thread"))
thread.start()
thread.join()
int("main")
"""
    )
    assert [(entry["level"], entry["message"].split("\n")[0].split(": ")[-1]) for entry in entries] == [
        ("ERROR", "failed"),
        ("WARNING", "old"),
        ("CRITICAL", "an unexpected error (a bug)"),
        ("CRITICAL", "an unexpected error (a bug)"),
    ]
    traces = [entry.get("exception", "").splitlines() for entry in entries]
    assert [trace[-1] if trace else "" for trace in traces] == [
        "ZeroDivisionError: division by zero",
        "",
        "ValueError: invalid literal for int() with base 10: 'thread'",
        "ValueError: invalid literal for int() with base 10: 'main'",
    ]
    assert traces[0][0] == "Traceback (most recent call last):"


def test_libraries_do_not_log_messages() -> None:
    loggers = 'map(logging.getLogger, ("bot.x", "discord", "aiohttp.client", "openai"))'
    entries = lines(f'start(form="json")\nfor each in {loggers}: each.debug("frame"); each.info("request")')
    assert [(entry["logger"], entry["level"]) for entry in entries] == [
        ("bot.x", "DEBUG"),
        ("bot.x", "INFO"),
        ("discord", "INFO"),
        ("aiohttp.client", "INFO"),
    ]
    assert logged(f'start(level="ERROR")\nfor each in {loggers}: each.warning("trouble")') == ""
