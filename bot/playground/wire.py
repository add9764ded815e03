"""The traffic between the bot and Discord, as short entries for the page. No entry contains a token."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from bot.standin import faults
from bot.standin.entities import Intent, Json
from bot.standin.rest import PREFIX, Exchange
from bot.standin.server import DiscordStandin
from bot.standin.sessions import Frame

_KEPT = 300
_TEXT = 60
_LONG_TOKEN = re.compile(r"\b([0-9a-f]{6})[0-9a-f]{34,}\b")
"""A token in the path of an interaction."""


class Wire:
    """The latest wire entries by id. `on_entry` is called with each new or changed entry."""

    def __init__(self, discord: DiscordStandin) -> None:
        self.entries: dict[str, Json] = {}
        self.on_entry: list[Callable[[Json], None]] = []
        self._world = discord.world
        self._frames = 0
        discord.on_exchange.append(self._exchange)
        discord.gateway.on_frame.append(self._frame)

    def _keep(self, entry: Json) -> None:
        self.entries[entry["id"]] = entry
        if len(self.entries) > _KEPT:
            del self.entries[next(iter(self.entries))]
        for listener in tuple(self.on_entry):
            listener(entry)

    def _exchange(self, exchange: Exchange) -> None:
        answered = exchange.answered
        began = self._world.wall() - (self._world.clock() - exchange.started)
        self._keep(
            {
                "id": f"r{exchange.number}",
                "at": began,
                "kind": "rest",
                "method": exchange.method,
                "path": _LONG_TOKEN.sub(r"\1…", exchange.path.removeprefix(PREFIX)),
                "route": exchange.route,
                "status": exchange.status,
                "ms": None if answered is None else round((answered - exchange.started) * 1000),
                "bucket": exchange.bucket and exchange.bucket[:6],
                "limit": exchange.limit,
                "remaining": exchange.remaining,
                "reset_after": None if exchange.reset_after is None else round(exchange.reset_after, 2),
                "fault": _fault(exchange),
                "code": exchange.code,
                "text": _body(exchange),
            }
        )

    def _frame(self, frame: Frame) -> None:
        self._frames += 1
        self._keep(
            {
                "id": f"e{self._frames}",
                "at": self._world.wall(),
                "kind": "event",
                "dir": "in" if frame.to_bot else "out",
                "name": frame.name,
                "seq": frame.sequence,
                "text": "repeated after RESUME" if frame.replayed else _event(frame.name, frame.data),
            }
        )


def _fault(exchange: Exchange) -> str | None:
    match exchange.fault:
        case faults.RateLimited(retry_after):
            return f"refused by a switch, for {retry_after:g} s"
        case faults.ServerError():
            return "failed by a switch"
        case None:
            return None
        case other:
            return type(other).__name__


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _TEXT else line[: _TEXT - 1] + "…"


def _body(exchange: Exchange) -> str:
    body = exchange.body
    if isinstance(body, list):
        return _short(", ".join(str(each.get("name")) for each in body if isinstance(each, dict)))
    if not isinstance(body, dict):
        return ""
    data = body["data"] if isinstance(body.get("data"), dict) else body
    marks = [f"[{name}]" for name in exchange.files]
    return _short(" ".join([str(data.get("content") or data.get("name") or ""), *marks]))


def _event(name: str, data: Any) -> str:
    match name, data:
        case "HELLO", {"heartbeat_interval": interval}:
            return f"a heartbeat every {interval / 1000:g} s"
        case "HEARTBEAT", int(sequence):
            return f"received up to #{sequence}"
        case "IDENTIFY", {"intents": intents}:
            return _short("intents: " + ", ".join(each.name.lower() for each in Intent(intents) if each.name))
        case "RESUME", {"seq": sequence}:
            return f"continue after #{sequence}"
        case "INVALID_SESSION", resumable:
            return "resume" if resumable else "start a new session"
        case "CLOSED", code:
            return f"code {code}" if code else "connection lost"
        case "INTERACTION_CREATE", {"data": {**what}}:
            return _short(f"{_sender(data)}: {what.get('name') or what.get('custom_id') or ''}")
        case "MESSAGE_REACTION_ADD" | "MESSAGE_REACTION_REMOVE", {"emoji": {"name": emoji}}:
            return _short(str(emoji))
        case (("MESSAGE_CREATE" | "MESSAGE_UPDATE"), {"author": {**author}, "content": str(content)}):
            return _short(f"{author.get('global_name') or author.get('username')}: {content or '(content withheld)'}")
        case _, {"name": str(called)}:
            return _short(called)
    return ""


def _sender(data: Json) -> str:
    user = data.get("user") or (data.get("member") or {}).get("user") or {}
    return str(user.get("global_name") or user.get("username"))
