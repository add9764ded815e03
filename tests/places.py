"""Conversations that tests talk in."""

from __future__ import annotations

from bot.core.turns import Conversation


def on_discord(channel: object) -> Conversation:
    return Conversation("discord", str(channel))


TERMINAL = Conversation("terminal", "main")
