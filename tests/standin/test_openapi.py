"""The check against Discord's own description finds what it is there for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bot.standin.openapi import OpenApi

_NAMED = os.environ.get("DISCORD_OPENAPI")


@pytest.mark.skipif(_NAMED is None, reason="DISCORD_OPENAPI names no description")
def test_openapi_notices_wrong_bodies() -> None:
    checker = OpenApi(Path(_NAMED or ""))
    checker.check("POST", "/channels/{channel_id}/messages", {"content": "x" * 4001}, 200, {"id": 1})
    checker.check("POST", "/users/@me/channels", {"recipient_id": 754679449387008000}, 204, None)
    checker.check("GET", "/nowhere", None, 200, {})
    checker.check("POST", "/channels/{channel_id}/messages", {"content": 5}, 400, {"code": 50035, "message": "no"})
    assert [violation.split(": ")[0] for violation in checker.violations] == [
        "/channels/{channel_id}/messages post CLIENT",
        *["/channels/{channel_id}/messages post SERVER"] * len(checker.violations[1:-2]),
        "/users/@me/channels post does not answer with 204",
        "GET /nowhere is not described",
    ]
    assert any("'author' is a required property" in violation for violation in checker.violations)
