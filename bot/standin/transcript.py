"""Text reports of the channels' contents for failed tests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice

from bot.standin.entities import Channel, Message
from bot.standin.rest import Exchange

_SHOWN_CALLS = 15


def transcript(channels: Iterable[Channel], requests: Sequence[Exchange]) -> str:
    """List every channel that has a message or a typing user, followed by the latest REST calls."""
    lines: list[str] = []
    for channel in channels:
        if channel.messages or channel.typing:
            lines.append(f"#{channel.name}")
            lines += [f"  {_line(message)}" for message in channel.messages.values()]
            lines += [f"  ({typing.user.name} is typing)" for typing in channel.typing.values()]
    lines.append("latest calls:")
    for call in reversed(list(islice(reversed(requests), _SHOWN_CALLS))):
        lines.append(f"  {call.method} {call.path} -> {call.status or 'unanswered'} {call.code or ''}".rstrip())
    return "\n".join(lines)


def _line(message: Message) -> str:
    marks = [
        f"reply to {message.reply_to.author.name}" if message.reply_to else "",
        f"edited {len(message.shown) - 1} times" if message.edited else "",
        " ".join(f"[{button.get('label')}]" for button in message.buttons),
        " ".join(f"{emoji} {len(users)}" for emoji, users in message.reactions.items()),
        ", ".join(attachment.filename for attachment in message.attachments),
    ]
    extra = "; ".join(mark for mark in marks if mark)
    return f"{message.author.name}: {message.content!r}" + (f"  ({extra})" if extra else "")
