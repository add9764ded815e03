"""Buttons without state: the id of a pressed button says what it does, so it works after a restart too.

See https://discordpy.readthedocs.io/en/stable/interactions/api.html#discord.ui.DynamicItem.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any, Self

import discord

from bot.discord_bot.delivery.view import Button, Buttons

REPLY = re.compile(r"reply:(?P<button>stop|continue|retry|again)(?::(?P<attempt>[0-9]{1,9}))?")
"""The ids of the buttons under replies. Each acts on the reply that it stands under, "again" on one attempt at it."""
_LABELS = {Button.STOP: "Stop", Button.CONTINUE: "Continue", Button.RETRY: "Retry", Button.AGAIN: "Retry"}

Pressed = Callable[[discord.Interaction, re.Match[str]], Awaitable[None]]
"""Handles a press on a button, with the match of its id."""


def under_reply(buttons: Buttons, attempt: int) -> discord.ui.View | None:
    """The row with the buttons of a message of an attempt. None: it has none."""
    ids = {button: f"reply:{button.value}" for button in buttons}
    if Button.AGAIN in ids:
        # A press that comes late is to start nothing.
        ids[Button.AGAIN] += f":{attempt}"
    return row(*(discord.ui.Button(label=_LABELS[each], custom_id=id_) for each, id_ in ids.items())) if ids else None


def are_under(message: discord.Message) -> bool:
    """Whether there are buttons of a reply under a message."""
    rows = (each.children for each in message.components if isinstance(each, discord.ActionRow))
    return any(REPLY.fullmatch(each.custom_id or "") for children in rows for each in children)


def row(*items: discord.ui.Item[discord.ui.View]) -> discord.ui.View:
    """A row of buttons whose ids a listener handles; several rows where the buttons say so, and one for each menu."""
    view = discord.ui.View(timeout=None)
    for item in items:
        view.add_item(item)
    # discord.py keeps each view that is not finished, for the presses on its message (`discord.ui.view.ViewStore`). The
    # listeners need none, and memory would grow with every message.
    view.stop()
    return view


def listen(client: discord.Client, ids: re.Pattern[str], pressed: Pressed) -> None:
    """Have `pressed` handle all presses on buttons, and all choices in menus, with such ids."""

    class Listener(discord.ui.DynamicItem[discord.ui.Item[Any]], template=ids):
        def __init__(self, item: discord.ui.Item[Any], found: re.Match[str]) -> None:
            super().__init__(item)
            self.found = found

        @classmethod
        async def from_custom_id(cls, _: discord.Interaction, item: discord.ui.Item[Any], match: re.Match[str]) -> Self:
            return cls(item, match)

        async def callback(self, interaction: discord.Interaction) -> None:
            await pressed(interaction, self.found)

    client.add_dynamic_items(Listener)
