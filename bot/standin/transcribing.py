"""The stand-in model server's route for recordings. It hears nothing: the script says what was said."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from dataclasses import dataclass

from aiohttp import web

from bot.standin.script import Drop, Raw, Refusal


@dataclass(frozen=True, slots=True)
class Transcript:
    """The words that a recording is said to have. They are held back until the event is set, if there is one."""

    text: str
    held_until: asyncio.Event | None = None


@dataclass(frozen=True, slots=True)
class Recording:
    """One request that arrived whole."""

    model: str
    audio: bytes
    file_name: str
    authorization: str


TranscriptionStep = Transcript | Refusal | Raw | Drop


class Transcriptions:
    """The recordings that a server was sent. Each takes the next step of the script, or else `default`.

    `keep_requests` limits the record of them; None keeps all.
    """

    def __init__(self, keep_requests: int | None = None) -> None:
        self.script = deque[TranscriptionStep]()
        self.default: TranscriptionStep = Transcript("Hello from the voice message.")
        self.requests = list[Recording]()
        self._keep_requests = keep_requests
        self._arrived = asyncio.Condition()

    @property
    def never_struck(self) -> list[object]:
        """The faults in the script that no request took."""
        return [step for step in self.script if not isinstance(step, Transcript)]

    async def request(self, number: int) -> Recording:
        """Wait for the request with this number, counted from 0, and return it."""
        async with self._arrived:
            await self._arrived.wait_for(lambda: len(self.requests) > number)
        return self.requests[number]

    async def handle(self, http: web.Request) -> web.StreamResponse:
        form = await http.post()
        file, model = form.get("file"), form.get("model")
        if not isinstance(file, web.FileField) or not isinstance(model, str):
            return web.json_response({"error": {"message": "file and model are required"}}, status=400)
        authorization = http.headers.get("Authorization", "")
        with file.file:
            self.requests.append(Recording(model, file.file.read(), file.filename, authorization))
        if self._keep_requests is not None:
            del self.requests[: -self._keep_requests]
        async with self._arrived:
            self._arrived.notify_all()
        match self.script.popleft() if self.script else self.default:
            case Transcript(text, held_until):
                if held_until is not None:
                    await held_until.wait()
                return web.json_response({"text": text, "usage": {"type": "duration", "seconds": 1}})
            case Refusal(status, body, headers):
                said = body if isinstance(body, str) else json.dumps(body)
                return web.Response(text=said.replace("{model}", model), status=status, headers=headers)
            case Raw(pieces, content_type):
                piece = b"".join(piece for piece in pieces if isinstance(piece, bytes))
                return web.Response(body=piece, content_type=content_type)
            case Drop():
                if http.transport is not None:
                    http.transport.abort()
                return web.Response()
