"""Recordings into text: what a server is sent, what comes of its answers, and when it is asked again."""

from __future__ import annotations

import asyncio

import pytest

from bot.core.errors import ModelError
from bot.core.turns import FailureReason
from bot.standin.model import ModelStandin
from bot.standin.script import REFUSALS, Drop, Raw, Refusal
from bot.standin.transcribing import Transcript, TranscriptionStep
from tests.llm.conftest import KEY, client

pytestmark = pytest.mark.virtual_time

_DEAF = Refusal(501, {"error": {"code": 501, "message": "The current model does not support audio input."}})
_AUDIO = b"OggS" + bytes(range(256)) * 20_000


async def test_server_is_sent_the_recording_as_it_is(server: ModelStandin) -> None:
    server.transcriptions.script.append(Transcript(" What time is it? \n"))
    async with client(server.base_url, extra_body={"temperature": 0.7}) as model:
        assert await model.transcribe(_AUDIO, model="hears") == "What time is it?"
    [request] = server.transcriptions.requests
    assert (request.model, request.audio, request.file_name) == ("hears", _AUDIO, "voice-message.ogg")
    assert request.authorization == f"Bearer {KEY}"


async def test_request_is_repeated_as_any_other(server: ModelStandin) -> None:
    server.transcriptions.script += [REFUSALS["server error"], Refusal(429, {}, {"Retry-After": "0.01"})]
    async with client(server.base_url, retry_within=5.0) as model:
        assert await model.transcribe(_AUDIO, model="hears") == "Hello from the voice message."
    assert [each.audio for each in server.transcriptions.requests] == [_AUDIO] * 3


@pytest.mark.parametrize(
    ("step", "failure", "advice"),
    [
        pytest.param(REFUSALS["bad key"], FailureReason.CONFIGURATION, "OPENAI_API_KEY", id="bad key"),
        pytest.param(REFUSALS["unknown model"], FailureReason.CONFIGURATION, "Correct TRANSCRIPTION_MODEL", id="model"),
        pytest.param(
            REFUSALS["unknown address"], FailureReason.CONFIGURATION, "Set TRANSCRIPTION_MODEL", id="no route"
        ),
        pytest.param(_DEAF, FailureReason.CONFIGURATION, "Set TRANSCRIPTION_MODEL", id="llama.cpp"),
        pytest.param(Raw([b"<html>"], "text/html"), FailureReason.CONFIGURATION, "Set TRANSCRIPTION_MODEL", id="page"),
        pytest.param(Raw([b"[" * 99_999]), FailureReason.CONFIGURATION, "Set TRANSCRIPTION_MODEL", id="lists"),
        pytest.param(Raw([b" " * 600_000]), FailureReason.CONFIGURATION, "Set TRANSCRIPTION_MODEL", id="too long"),
        pytest.param(REFUSALS["rate limit"], FailureReason.BUSY, "", id="busy"),
        pytest.param(Drop(), FailureReason.UNREACHABLE, "Look at its log", id="lost"),
        pytest.param(Transcript("", asyncio.Event()), FailureReason.UNREACHABLE, "FIRST_DELTA_TIMEOUT", id="silent"),
    ],
)
async def test_failure_says_what_to_change(
    server: ModelStandin, step: TranscriptionStep, failure: FailureReason, advice: str
) -> None:
    server.transcriptions.script.append(step)
    async with client(server.base_url, first_delta_timeout=0.3) as model:
        with pytest.raises(ModelError) as raised:
            await model.transcribe(_AUDIO, model="hears")
    assert raised.value.failure is failure
    assert advice in raised.value.detail
    assert KEY not in raised.value.detail
