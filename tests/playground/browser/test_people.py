"""People among themselves: what they write, change and attach, and what of it the others see."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from tests.playground.browser.conftest import Visit

pytestmark = pytest.mark.asyncio(loop_scope="session")

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAEElEQVR4nGP4z8DAAMEMEAoAH+4D/W3T6kAAAAAASUVORK5CYII="
)


async def test_others_see_messages_and_changes(visit: Visit) -> None:
    ada, bo = await visit(), await visit("Bo")
    await ada.composer.press_sequentially("teh")
    await expect(bo.page.get_by_text("Ada is typing…")).to_be_visible()
    message = await ada.say("teh *tea*", "teh tea")
    seen = bo.message("teh tea")
    await expect(seen).to_contain_text("Ada")
    await expect(seen.locator("em")).to_have_text("tea")
    await message.hover()
    await message.get_by_role("button", name="Edit").click()
    await message.get_by_role("textbox", name="Edit the message").fill("the tea")
    await message.get_by_role("textbox", name="Edit the message").press("Enter")
    await expect(bo.messages).to_contain_text(["the tea(edited)"])
    await bo.messages.last.hover()
    await expect(bo.button("Edit")).to_be_hidden()
    await bo.button("Add a reaction").click()
    await bo.page.get_by_role("menuitem", name="thumbs up").click()
    reaction = message.get_by_role("button", name="👍 1")
    await expect(reaction).to_have_attribute("aria-pressed", "false")
    await reaction.click()
    await expect(bo.messages.get_by_role("button", name="👍 2")).to_have_attribute("aria-pressed", "true")
    await ada.menu(message, "Delete")
    await ada.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(bo.messages).to_have_count(0)


async def test_reply_quotes_and_may_ping(visit: Visit) -> None:
    ada, bo = await visit(), await visit("Bo")
    await ada.say("who has the **key**?", "who has the key?")
    question = bo.messages.first
    for text, quoted, pings in (("I have", "@Ada", True), ("or not", "Ada", False)):
        await question.hover()
        await question.get_by_role("button", name="Reply", exact=True).click()
        switch = bo.page.get_by_role("switch", name="Ping Ada")
        await expect(switch).to_be_checked()
        if not pings:
            await switch.click()
            await expect(switch).not_to_be_checked()
        await bo.say(text)
        seen = ada.message(text)
        await expect(seen.get_by_role("button", name="Go to the message replied to")).to_have_text("who has the key?")
        await expect(seen.get_by_text(quoted, exact=True)).to_be_visible()
    await expect(bo.page.get_by_role("switch", name="Ping Ada")).to_have_count(0)


async def test_speaker_changes_and_survives_a_reload(visit: Visit) -> None:
    tab = await visit()
    await tab.go("random")
    await tab.say("from Ada")
    await tab.speak_as("Max")
    message = await tab.say("from Max, who moderates")
    await expect(message).to_have_accessible_name(re.compile("^Max"))
    await tab.menu(tab.message("from Ada"), "Reply")
    await tab.say("a reply")
    await tab.composer.fill("half a sent")
    before = await tab.messages.all_inner_texts()
    await tab.page.reload()
    await expect(tab.messages).to_have_text(before, use_inner_text=True)
    await expect(tab.place).to_have_text("random")
    await expect(tab.button(re.compile("^You speak as Max"))).to_be_visible()
    await expect(tab.composer).to_have_value("half a sent")
    await tab.menu(tab.messages.first, "Delete")
    await tab.page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    await expect(tab.log).to_contain_text("The original message was deleted")


async def test_files_by_button_drop_and_paste(visit: Visit, tmp_path: Path) -> None:
    ada = await visit()
    note = tmp_path / "a note.txt"
    note.write_text("Buy tea.")
    large = tmp_path / "large.bin"
    large.write_bytes(bytes(20 * 2**20 + 1))
    async with ada.page.expect_file_chooser() as chooser:
        await ada.button("Add files").click()
    await (await chooser.value).set_files([note, large])
    sentence = "“large.bin” is too large. Choose one of up to 20 MB."
    await expect(ada.page.get_by_role("alert")).to_contain_text(sentence)
    for event, name in (("drop", "dropped.png"), ("paste", "pasted.png")):
        await give(ada.page, event, name)
    waiting = ada.page.get_by_role("list", name="Files to send").get_by_role("listitem")
    await expect(waiting).to_contain_text(["a note.txt8 bytes", "dropped.png", "pasted.png"])
    await ada.button("Remove dropped.png").click()
    await expect(waiting).to_have_count(2)
    await ada.say("two files")
    await expect(waiting).to_have_count(0)
    message = ada.message("two files")
    picture = message.get_by_role("img", name="pasted.png")
    await expect(picture).to_have_js_property("naturalWidth", 2)
    async with ada.page.expect_download() as download:
        await message.get_by_role("link", name="a note.txt").click()
    kept = await download.value
    assert kept.suggested_filename == "a note.txt"
    assert Path(await kept.path()).read_text() == "Buy tea."


async def give(page: Page, event: str, name: str) -> None:
    """A picture, dropped on the messages or pasted into the composer, as the browser would tell the page."""
    data: Any = await page.evaluate_handle(
        """([name, bytes]) => {
            const data = new DataTransfer();
            data.items.add(new File([new Uint8Array(bytes)], name, { type: "image/png" }));
            return data;
        }""",
        [name, list(PNG)],
    )
    if event == "drop":
        log = page.get_by_role("log")
        for step in ("dragenter", "dragover", "drop"):
            await log.dispatch_event(step, {"dataTransfer": data})
    else:
        await page.get_by_role("textbox", name=re.compile("^Message")).evaluate(
            """(box, data) => box.dispatchEvent(
                new ClipboardEvent("paste", { clipboardData: data, bubbles: true, cancelable: true }))""",
            data,
        )


async def test_people_on_a_phone(visit: Visit) -> None:
    ada = await visit(width=360, height=640)
    await expect(ada.channels).not_to_be_in_viewport()
    await ada.button("Channels").click()
    await expect(ada.channels.get_by_role("button", name="general", exact=True)).to_be_focused()
    await ada.page.keyboard.press("Escape")
    await expect(ada.channels).not_to_be_in_viewport()
    await ada.button("Channels").click()
    await ada.channels.get_by_role("button", name="random", exact=True).click()
    await expect(ada.channels).not_to_be_in_viewport()
    message = await ada.say("x" * 200 + " ```\n" + "y" * 200 + "\n```", "x" * 200)
    await expect(message).to_be_in_viewport()
    switch = (await ada.drawer()).get_by_role("switch", name="No permission here")
    await switch.click()
    await expect(switch).to_be_checked()
    await ada.button("Close").click()
    await expect(ada.composer).to_be_in_viewport(ratio=1)
    width = await ada.page.evaluate("document.scrollingElement.scrollWidth")
    assert width == 360


async def test_log_follows_until_scrolled_up(visit: Visit) -> None:
    ada, bo = await visit(), await visit("Bo", height=500)
    await ada.page.evaluate(
        """async () => {
            const [{ tell }, { state }] = await Promise.all([import("./static/acts.js"), import("./static/state.js")]);
            const message = { channel: state.channel, reply_to: null, ping: false, files: [] };
            // The browser tells of a scroll at any moment, also between a message's coming and its being shown.
            const moving = setInterval(() => scroller.dispatchEvent(new Event("scroll")), 1);
            for (let number = 1; number <= 240; number++) {
                const said = tell("say", { ...message, content: `message ${number}\n`.repeat(1 + number % 3) });
                if (number % 20 === 0) await said;
            }
            clearInterval(moving);
        }"""
    )
    for tab in (ada, bo):
        await expect(tab.messages.last).to_contain_text("message 240")
        await expect(tab.messages.last).to_be_in_viewport()
        await expect(tab.messages).to_have_count(200)
    await bo.log.hover()
    await bo.page.mouse.wheel(0, -3000)
    await expect(bo.messages.last).not_to_be_in_viewport()
    await ada.composer.fill("the very last")
    await ada.composer.press("Enter")
    await bo.button("1 new message").click()
    await expect(bo.message("the very last")).to_be_in_viewport()
    await expect(bo.button(re.compile("new message|Jump to the latest"))).to_be_hidden()
