"""One request for the words in a recording, in the form that OpenAI's servers and most others have for it."""

from __future__ import annotations

from io import BytesIO

import jiter
import openai

from bot.llm import bodies

_LONGEST = 512 * 1024
"""Bytes of an answer. Ten minutes of speech are a fiftieth of it."""
_FULLEST = 20_000
"""Objects and lists in an answer. Decoding blocks the event loop for a microsecond for each of them."""


class NoTranscription(Exception):
    """The answer is none to this request."""


async def transcription(client: openai.AsyncOpenAI, audio: bytes, model: str) -> str:
    """The words in a recording, OGG Opus. Raises the errors of the SDK and of the connection, and NoTranscription."""
    async with client.audio.transcriptions.with_streaming_response.create(
        file=("voice-message.ogg", BytesIO(audio), "audio/ogg"), model=model, response_format="json"
    ) as response:
        try:
            answer = await bodies.whole(response.http_response, _LONGEST)
            too_full = answer.count(b"{") + answer.count(b"[") > _FULLEST
            body = None if too_full else jiter.from_json(answer)
        except ValueError:
            raise NoTranscription from None
    match body:
        case {"text": str(words)}:
            return words.strip()
    raise NoTranscription
