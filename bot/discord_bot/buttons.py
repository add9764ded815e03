"""The buttons under replies. They hold no state: what they act on is the reply that they stand under."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any, Self

import discord

from bot.frame import Button

_LABELS = {Button.STOP: "Stop", Button.CONTINUE: "Continue", Button.RETRY: "Retry"}
_TEMPLATE = re.compile(r"reply:(?P<button>stop|continue|retry)")

Pressed = Callable[[discord.Interaction, Button], Awaitable[None]]


def view(button: Button | None) -> discord.ui.View | None:
    """The row with this button."""
    if button is None:
        return None
    row = discord.ui.View(timeout=None)
    row.add_item(discord.ui.Button(label=_LABELS[button], custom_id=f"reply:{button.value}"))
    # discord.py keeps views that are not finished, one for each message; presses reach `listen` without them.
    row.stop()
    return row


def listen(client: discord.Client, pressed: Pressed) -> None:
    """Have presses on any of them, also on those of an earlier process, told to `pressed`."""

    class ReplyButton(discord.ui.DynamicItem[discord.ui.Item[Any]], template=_TEMPLATE):
        def __init__(self, item: discord.ui.Item[Any], button: Button) -> None:
            super().__init__(item)
            self.button = button

        @classmethod
        async def from_custom_id(cls, _: discord.Interaction, item: discord.ui.Item[Any], match: re.Match[str]) -> Self:
            return cls(item, Button(match["button"]))

        async def callback(self, interaction: discord.Interaction) -> None:
            await pressed(interaction, self.button)

    client.add_dynamic_items(ReplyButton)
