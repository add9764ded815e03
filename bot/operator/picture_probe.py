"""Whether a model sees images: its server's answer to one request with a tiny image, and its count of that."""

from __future__ import annotations

import base64

from bot.core.errors import PicturesRefused
from bot.core.model_events import Message
from bot.core.pictures import Picture
from bot.core.quotas import Usage
from bot.llm.client import OpenAIModel

_SIDE = 64
_IMAGE = Picture(
    base64.b64decode(
        "iVBORw0KGgoAAAANSUhEUgAAAEAAAABACAIAAAAlC+aJAAAAUklEQVR42u3PMQ0AMAgAMJgQbvyrQNZUcJC0DppTHZe9OE5AQEBAQEBA"
        "QEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBg3wcl9QGOEzlJcAAAAABJRU5ErkJggg=="
    ),
    "image/png",
    _SIDE,
    _SIDE,
)
_REPLY_TOKENS = 16


async def sees(model: OpenAIModel, name: str, setting: str) -> str:
    """A sentence on whether a model sees images. Raises ModelError.

    It costs two short requests: a server that looks at an image counts more tokens with it.
    """
    try:
        with_image = await _count(model, name, _IMAGE)
    except PicturesRefused as refusal:
        if refusal.most is None:
            said = f": {refusal.server_message}" if refusal.server_message else ""
            return f"{name} did not take an image, so this cannot tell whether it sees any{said}."
        if setting == "VISION_MODEL":
            return f"VISION_MODEL {name} cannot see images: choose another."
        return f"{name} cannot see images."
    without = await _count(model, name) if with_image else 0
    if not without:
        return f"{name} takes images; since it does not count tokens, this cannot tell whether it looks at them."
    return f"{name} sees images." if with_image > without else f"{name} takes images, but does not look at them."


async def _count(model: OpenAIModel, name: str, *images: Picture) -> int:
    """The server's count of a short question with these images, or 0 if it does not count."""
    counted = 0
    asked = Message("user", "Say ok.", images)
    async with model.stream([asked], model=name, reply_tokens=_REPLY_TOKENS) as events:
        async for event in events:
            if isinstance(event, Usage):
                counted = event.prompt_tokens
    return counted
