"""The sentences of /settings: what people choose about themselves."""

from __future__ import annotations

from bot.core.records import PersonSettings, Ping

LEAVE_OUT = {False: "Use my messages", True: "Leave my messages out"}
"""The labels of the buttons, by whether one's recent messages are left out."""
PING = {Ping.AUTO: "Ping after a wait", Ping.ALWAYS: "Always ping", Ping.NEVER: "Never ping"}

_LEFT_OUT = {
    False: "In channels where moderators let me read recent messages, yours can be read with someone else's question.",
    True: "Your recent messages are left out when someone else asks me something.",
}
_PINGED = {
    Ping.AUTO: "My answer pings you if you waited for more than 15 seconds, unless only you see it.",
    Ping.ALWAYS: "My answers always ping you, unless only you see them.",
    Ping.NEVER: "My answers never ping you.",
}


def shown(settings: PersonSettings) -> str:
    """What a person is told of their settings, above the buttons."""
    return (
        "**Your settings**, for all servers and direct messages. Only you see them.\n"
        f"**Recent messages:** {_LEFT_OUT[settings.leave_out]}\n"
        f"**Ping:** {_PINGED[settings.ping]}"
    )
