"""Voice messages: recorded, made of a file, played, and what is said where there is no microphone."""

from __future__ import annotations

import re
import struct
import wave
from io import BytesIO

import pytest
from playwright.async_api import FilePayload, Locator, expect

from bot.files.voice import seconds
from bot.llm.demo import DEMO_HEARS, NOTE
from tests.playground.browser.conftest import Tab, Visit

pytestmark = pytest.mark.asyncio(loop_scope="session")

SPOKEN = re.compile("^Voice message, ")


def sound(length: float, channels: int = 2) -> FilePayload:
    """A file of that many seconds, whose second half is silent."""
    file = BytesIO()
    with wave.open(file, "wb") as out:
        out.setparams((channels, 2, 44_100, 0, "NONE", ""))
        frames = round(44_100 * length)
        loud = (8000 * (at // 50 % 2) * (at < frames / 2) for at in range(frames))
        out.writeframes(b"".join(struct.pack("<h", each) * channels for each in loud))
    return FilePayload(name="memo.wav", mimeType="audio/wav", buffer=file.getvalue())


def players(tab: Tab) -> Locator:
    return tab.log.get_by_role("group", name=SPOKEN)


async def recording_of(tab: Tab) -> bytes:
    """The file of the only voice message, as anybody gets it."""
    found = await tab.page.evaluate(
        """async () => {
            const { timeline } = await import("./static/log.js");
            const [file] = timeline.list.flatMap((message) => message.attachments);
            return [file.name, [...new Uint8Array(await (await fetch(file.url)).arrayBuffer())]];
        }"""
    )
    assert found[0] == "voice-message.ogg"
    return bytes(found[1])


async def record(tab: Tab) -> None:
    """Record for a second or more."""
    await tab.button("Record a voice message").click()
    await expect(tab.page.get_by_role("timer")).not_to_have_text("0:00")
    await expect(tab.button("Send")).to_be_focused()


async def test_recorded_message_is_heard_played_and_remembered(visit: Visit) -> None:
    ada = await visit()
    await ada.go("Parley")
    await ada.write("half a sent")
    await record(ada)
    await expect(ada.page.get_by_role("group", name="Voice message", exact=True)).to_contain_text("Recording…")
    await expect(ada.composer).to_be_hidden()
    await ada.page.keyboard.press("Enter")
    answer = ada.message(f"I heard: “{DEMO_HEARS}”")
    await expect(answer).to_contain_text(NOTE)
    await expect(ada.composer).to_have_value("half a sent")
    await expect(ada.composer).to_be_focused()
    length = seconds(await recording_of(ada), 600)
    assert length is not None
    assert length > 0.5
    player = players(ada)
    await player.get_by_role("button", name="Play").click()
    await expect(player.get_by_role("button", name="Pause")).to_be_visible()
    await expect(player.get_by_role("button", name="Play")).to_be_visible()
    await ada.say("what did I say first?")
    await expect(ada.message("The first thing you said")).to_contain_text(DEMO_HEARS)


async def test_recording_is_discarded(visit: Visit) -> None:
    ada = await visit()
    for discard in ("Escape", "button", "channel"):
        await record(ada)
        if discard == "channel":
            await ada.go("random")
        elif discard == "button":
            await ada.button("Discard the recording").click()
        else:
            await ada.page.keyboard.press("Escape")
        await expect(ada.composer).to_be_visible()
        await expect(ada.messages).to_have_count(0)


@pytest.mark.parametrize(
    ("obstacle", "sentence"),
    [
        ("NotFoundError", "This computer has no microphone."),
        ("NotAllowedError", "The browser doesn't allow this page to use the microphone."),
        (None, "This browser can't record voice messages."),
    ],
)
async def test_missing_microphone_is_told(visit: Visit, obstacle: str | None, sentence: str) -> None:
    ada = await visit()
    await ada.page.evaluate(
        """name => Object.defineProperty(navigator, "mediaDevices", { configurable: true, value: name && {
            getUserMedia: async () => { throw new DOMException("", name); } } })""",
        obstacle,
    )
    await ada.button("Record a voice message").click()
    await expect(ada.page.get_by_role("alert")).to_contain_text(sentence)
    await expect(ada.composer).to_be_visible()


async def test_file_is_sent_as_a_voice_message_that_only_a_reply_brings_to_the_bot(visit: Visit) -> None:
    ada = await visit()
    await ada.say("@Parley hello")
    answer = ada.message("Hello! Say “help”")
    await expect(answer).to_contain_text(NOTE)
    choose = ada.page.locator("input[type=file]")
    await ada.write("stays")
    await choose.set_input_files(sound(1))
    await ada.button("Send as voice message").click()
    hint = ada.page.get_by_role("status").filter(
        has_text="In a channel, Parley only gets voice messages that reply to it."
    )
    await expect(hint).to_be_visible()
    await expect(players(ada)).to_have_count(1)
    assert seconds(await recording_of(ada), 600) == pytest.approx(1, abs=0.05)
    bars = await players(ada).locator("i").evaluate_all("bars => bars.map(bar => parseInt(bar.style.height))")
    assert min(bars[:18]) > 90
    assert max(bars[22:]) < 10
    await ada.menu(answer, "Reply")
    await choose.set_input_files([sound(0.5), FilePayload(name="a.txt", mimeType="text/plain", buffer=b"x")])
    await ada.button("Send as voice message").click()
    await expect(ada.message(f"I heard: “{DEMO_HEARS}”")).to_be_visible()
    await expect(hint).to_have_count(0)
    await expect(ada.composer).to_have_value("stays")
    await expect(ada.composer).to_be_focused()
    await expect(ada.page.get_by_role("list", name="Files to send").get_by_role("listitem")).to_have_count(1)
    await expect(ada.log.get_by_text("I heard:")).to_have_count(1)


async def test_file_without_sound_stays_a_file(visit: Visit) -> None:
    ada = await visit()
    broken = FilePayload(name="memo.ogg", mimeType="audio/ogg", buffer=b"OggS" + bytes(99))
    await ada.page.locator("input[type=file]").set_input_files(broken)
    as_voice = ada.button("Send as voice message")
    await as_voice.click()
    await expect(ada.page.get_by_role("alert")).to_contain_text("The browser found no sound in that.")
    await expect(as_voice).to_be_enabled()
    await ada.say("as it is")
    await expect(ada.message("as it is").get_by_role("link", name="memo.ogg")).to_be_visible()
