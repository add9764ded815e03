"""Switches in the page's drawer: their effects on the stand-ins and the bot, and their current state."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import asdict, dataclass
from typing import Literal

from bot.playground.model import FAULTS, SwitchedModel
from bot.playground.runner import Runner
from bot.standin.entities import Channel, Intent, Json, Permission
from bot.standin.faults import RateLimited, ServerError
from bot.standin.server import DiscordStandin

SLOW_SECONDS = 2.0
_NEXT_CALLS = 2
_WAIT = 2.0
"""Seconds that a 429 response tells the bot to wait."""
_RTT = (0.03, 0.08)
"""Shortest and longest time of a normal REST call in seconds, about the same as with Discord."""
_WRITING = Permission.SEND_MESSAGES | Permission.SEND_MESSAGES_IN_THREADS


@dataclass(frozen=True, slots=True)
class Switch:
    """A switch as the page shows it. An action happens once, and a toggle stays on."""

    name: str
    label: str
    hint: str
    group: Literal["Settings", "Connection", "Discord", "Model", "Bot"]
    kind: Literal["toggle", "action"]


SWITCHES = {
    switch.name: switch
    for switch in (
        Switch("gateway_drop", "Cut the connection", "The bot comes back and misses nothing.", "Connection", "action"),
        Switch("gateway_reconnect", "Ask to reconnect", "As Discord does when it updates.", "Connection", "action"),
        Switch("gateway_invalidate", "End the session", "The bot has to log in again.", "Connection", "action"),
        Switch("rest_slow", "Discord is slow", f"Every call takes {SLOW_SECONDS:g} seconds.", "Discord", "toggle"),
        Switch(
            "rest_429", "Too many calls", f"Discord refuses calls for {_WAIT:g} seconds (429).", "Discord", "action"
        ),
        Switch("rest_502", "Discord fails", f"The next {_NEXT_CALLS} calls fail (502).", "Discord", "action"),
        Switch("rest_forbid", "No permission here", "The bot may not write in this channel.", "Discord", "toggle"),
        Switch("rest_delete", "Delete the last reply", "Try it while the bot is writing.", "Discord", "action"),
        Switch("model_fails", "The model fails", "It answers everything with an error (500).", "Model", "toggle"),
        Switch("model_stalls", "The model goes silent", "It stops after a few words and waits.", "Model", "toggle"),
        Switch("model_cuts", "The reply breaks off", "The connection breaks after a few words.", "Model", "toggle"),
        Switch("model_refuses_key", "The key is refused", "As with a wrong OPENAI_API_KEY (401).", "Model", "toggle"),
        Switch("model_busy", "The model is busy", "It says: try again in 20 seconds (429).", "Model", "toggle"),
        Switch("bot_away", "Stop the bot", "Write while it is away, then start it again.", "Bot", "toggle"),
        Switch(
            "message_content",
            "Message Content",
            "The bot may read what does not mention it, where /server says so. It restarts.",
            "Settings",
            "toggle",
        ),
        Switch("bot_restart", "Restart the bot", "It stops cleanly and starts again.", "Bot", "action"),
    )
}


class Switches:
    """The set of switches. Slow effects of a switch run in the background."""

    def __init__(self, discord: DiscordStandin, model: SwitchedModel, runner: Runner) -> None:
        self._discord = discord
        self._model = model
        self._runner = runner
        self._slow = False
        self._tasks: set[asyncio.Task[None]] = set()

    def round_trip(self) -> float:
        """Return the seconds that the next REST call takes."""
        return SLOW_SECONDS if self._slow else self._discord.random.uniform(*_RTT)

    def shown(self, channel: Channel | None) -> list[Json]:
        """Return all switches with their state for a channel."""
        return [asdict(switch) | {"on": self._is_on(name, channel)} for name, switch in SWITCHES.items()]

    def turn(self, name: str, on: bool, channel: Channel | None) -> None:
        """Turn a switch on or off. LookupError is raised if the switch does not exist or has nothing to act on here."""
        discord, gateway = self._discord, self._discord.gateway
        match name:
            case "gateway_drop":
                self._spawn(gateway.drop())
            case "gateway_reconnect":
                self._spawn(gateway.reconnect())
            case "gateway_invalidate":
                self._spawn(gateway.invalidate())
            case "rest_slow":
                self._slow = on
            case "rest_429":
                discord.faults.add(RateLimited(_WAIT), times=_NEXT_CALLS)
            case "rest_502":
                discord.faults.add(ServerError(502), times=_NEXT_CALLS)
            case "rest_forbid" if channel is not None:
                self._forbid(channel, on)
            case "rest_delete" if channel is not None and (replies := discord.bot_messages(channel)):
                discord.world.delete(replies[-1])
            case "bot_away":
                self._spawn(self._runner.stop() if on else self._runner.start())
            case "message_content":
                discord.privileged = Intent.MESSAGE_CONTENT if on else Intent.NONE
                if self._runner.running:
                    self._spawn(self._runner.restart())
            case "bot_restart":
                self._spawn(self._runner.restart())
            case _ if name in FAULTS:
                if on or self._model.fault == name:
                    self._model.fault = name if on else None
            case _:
                raise LookupError(name)
        discord.world.changed()

    async def close(self) -> None:
        """Wait for effects that still run in the background."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _is_on(self, name: str, channel: Channel | None) -> bool:
        match name:
            case "rest_slow":
                return self._slow
            case "rest_forbid":
                return channel is not None and self._forbidden(channel)
            case "bot_away":
                return not self._runner.running
            case "message_content":
                return Intent.MESSAGE_CONTENT in self._discord.privileged
        return self._model.fault == name

    def _forbid(self, channel: Channel, on: bool) -> None:
        place = channel.parent or channel
        if place.recipient is not None:
            place.recipient.closed_dms = on
        else:
            self._discord.deny(place, _WRITING if on else Permission.NONE)

    def _forbidden(self, channel: Channel) -> bool:
        place = channel.parent or channel
        if place.recipient is not None:
            return place.recipient.closed_dms
        overwrite = place.overwrites.get(self._discord.bot.id)
        return overwrite is not None and _WRITING in overwrite.deny

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
