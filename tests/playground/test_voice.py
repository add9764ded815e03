"""Voice messages of the page: which the bot is shown, what it hears, and what no page sends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bot.llm.demo import DEMO_HEARS
from bot.playground.model import demo_client, demo_server
from bot.standin.model import ModelStandin
from bot.standin.transcribing import Transcript
from tests.files.samples import voice
from tests.playground.conftest import Home, Json, Tab, playing

WORDS = "What is the capital of Norway?"
FAILED = "I can't reach my AI provider."


@pytest.fixture
async def hearing(model: ModelStandin, tmp_path: Path) -> AsyncIterator[Home]:
    """A playground whose model server hears the same words in everything."""
    model.transcriptions.default = Transcript(WORDS)
    async with playing(model, tmp_path / "playground.db", TRANSCRIPTION_MODEL="ears") as opened:
        yield opened


async def uploaded(home: Home, data: bytes, seconds: object = 3.1, waveform: str = "AP8=") -> tuple[int, str]:
    """The status and the file's id, or what is said of it."""
    query = {"seconds": str(seconds), "waveform": waveform}
    headers = {"Content-Type": "audio/ogg", "Origin": home.origin}
    async with home.client.post(f"{home.url}files", params=query, data=data, headers=headers) as answer:
        return answer.status, (await answer.json())["file"] if answer.status == 200 else await answer.text()


async def speak(home: Home, tab: Tab, **more: object) -> Json:
    """Send a voice message in the open channel; the answer to that."""
    _, file = await uploaded(home, voice(3))
    what = {"channel": tab.channel, "content": "", "reply_to": None, "ping": True, "files": [file], **more}
    return await tab.do("say", **what)


async def test_bot_gets_voice_messages_where_discord_shows_it_them(hearing: Home, model: ModelStandin) -> None:
    tab = await hearing.tab()
    await tab.say(f"<@{tab.id_of('Parley')}> hello")
    reply = await tab.reply("Hello!")
    assert not (await speak(hearing, tab))["heard"]
    assert not (await speak(hearing, tab, reply_to=reply["id"], ping=False))["heard"]
    assert (await speak(hearing, tab, reply_to=reply["id"]))["heard"]
    answer = await tab.reply(f"I heard: “{WORDS}”")
    await tab.shows(answer, "rows", [])
    [heard] = model.transcriptions.requests
    assert (heard.model, heard.audio) == ("ears", voice(3))
    *_, spoken = [each for each in tab.messages.values() if each["attachments"]]
    assert not spoken["editable"], list(tab.messages.values())
    [file] = spoken["attachments"]
    assert (file["name"], file["voice"]) == ("voice-message.ogg", {"seconds": 3.1, "waveform": "AP8="})
    async with hearing.client.get(hearing.url + file["url"]) as download:
        assert (await download.read(), download.content_type) == (voice(3), "audio/ogg")
    refusal = await tab.refused("edit", message=spoken["id"], content="words")
    assert refusal == "Voice messages cannot be edited. Delete it and record another one."
    await tab.do("open", channel=tab.place("Parley"))
    assert (await speak(hearing, tab))["heard"]
    await tab.reply(f"I heard: “{WORDS}”")
    assert len(model.transcriptions.requests) == 2


async def test_voice_message_is_sent_alone(hearing: Home) -> None:
    tab = await hearing.tab(channel="Parley")
    for content, number in (("listen", 1), ("", 2)):
        files = [(await uploaded(hearing, voice(1)))[1] for _ in range(number)]
        refusal = await tab.refused("say", channel=tab.channel, content=content, reply_to=None, ping=True, files=files)
        assert refusal == "A voice message has no text and no other files. Send them separately."
    assert not tab.messages


@pytest.mark.parametrize(
    ("seconds", "waveform"),
    [("long", "AAAA"), ("nan", "AAAA"), ("-1", "AAAA"), ("inf", "AAAA"), ("3", ""), ("3", "<b>"), ("3", "A" * 345)],
)
async def test_wrong_length_or_waveform_is_refused(home: Home, seconds: str, waveform: str) -> None:
    assert await uploaded(home, voice(1), seconds, waveform) == (
        400,
        "Something is wrong with this page. Reload it.",
    )


async def test_demo_hears_over_the_wire_and_keeps_no_pile_of_recordings() -> None:
    async with demo_server() as server, demo_client(server) as demo:
        for _ in range(12):
            assert await demo.transcribe(voice(1), model="demo") == DEMO_HEARS
        assert len(server.transcriptions.requests) == 10


async def test_fault_of_the_model_keeps_it_from_hearing(hearing: Home) -> None:
    tab = await hearing.tab("Bo", "Parley")
    await tab.do("fault", name="model_refuses_key", on=True)
    await tab.say("hello")
    await tab.reply(FAILED)
    await speak(hearing, tab)
    await tab.until(lambda: sum(FAILED in each["raw"] for each in tab.messages.values()) == 2)
    assert not any("I heard" in each["raw"] for each in tab.messages.values())
    await tab.do("fault", name="model_refuses_key", on=False)
    await speak(hearing, tab)
    await tab.reply(f"I heard: “{WORDS}”")
