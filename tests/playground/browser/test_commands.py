"""Commands on the page: found, filled in by keyboard or by touch, with forms, private buttons and files."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from playwright.async_api import FilePayload, Locator, expect

from tests.playground.browser.conftest import Tab, Visit

pytestmark = pytest.mark.asyncio(loop_scope="session")

WATCH = """
    window.offered = [];
    new MutationObserver(() => window.offered.push(completion.querySelectorAll("[role=option]").length))
        .observe(completion, { childList: true });
"""
"""Has the page note how many choices there are whenever there are others."""


def options(tab: Tab) -> Locator:
    return tab.page.get_by_role("listbox", name="Suggestions").get_by_role("option")


def field(tab: Tab, name: str) -> Locator:
    """The field of a command's option."""
    return tab.page.get_by_label(re.compile(f"^{name}"))


async def test_option_is_completed_by_keyboard(visit: Visit) -> None:
    max_ = await visit("Max")
    keys = max_.page.keyboard
    await max_.composer.press_sequentially("/mod")
    await keys.press("Tab")
    name = field(max_, "name")
    await expect(name).to_be_focused()
    await expect(options(max_)).to_have_text([re.compile("^default"), "demo", "demo-twin"])
    # What is not needed is only offered: nothing is chosen until somebody moves.
    await expect(max_.page.get_by_role("option", selected=True)).to_have_count(0)
    await keys.press("ArrowUp")
    await expect(max_.page.get_by_role("option", selected=True)).to_have_text("demo-twin")
    await keys.press("Escape")
    await expect(options(max_)).to_have_count(0)
    await expect(name).to_be_focused()
    # Confirmed before the bot has answered.
    await keys.type("tw")
    await keys.press("Enter")
    await expect(name).to_have_value("demo-twin")
    await keys.press("Enter")
    await expect(max_.message("Max chose demo-twin to answer here from now on.")).to_be_visible()
    await expect(max_.composer).to_be_focused()
    await max_.command("/model", "nothing like it")
    await expect(max_.message("nothing like it")).to_contain_text("Only you can see this")


async def test_outdated_completions_are_dropped(visit: Visit) -> None:
    max_ = await visit("Max")
    await max_.composer.fill("/model")
    await max_.composer.press("Enter")
    await expect(options(max_)).to_have_count(3)
    slow = (await max_.drawer()).get_by_role("switch", name="Discord is slow")
    await slow.click()
    await expect(slow).to_be_checked()
    await max_.page.evaluate(WATCH)
    await field(max_, "name").press_sequentially("d")
    asked = max_.page.get_by_role("listitem").filter(has_text="INTERACTION_CREATE")
    await expect(asked).to_have_count(2)
    await field(max_, "name").press_sequentially("emo-t")
    await expect(options(max_)).to_have_text(["demo-twin"])
    assert set(await max_.page.evaluate("window.offered")) <= {0, 1}


async def test_option_type_is_shown_before_sending(visit: Visit) -> None:
    max_ = await visit("Max")
    keys = max_.page.keyboard
    await max_.composer.fill("/block")
    await max_.composer.press("Enter")
    hint = max_.page.locator("#slash-hint")
    await expect(field(max_, "hours")).to_have_accessible_name(re.compile(r"1 to 8760"))
    # What is needed can be confirmed as it is offered.
    await expect(max_.page.get_by_role("option", selected=True)).to_have_count(1)
    await keys.press("Escape")
    await keys.press("Enter")
    await expect(hint).to_contain_text("Fill in “member”")
    await keys.type("cl")
    await expect(options(max_)).to_have_text([re.compile("^C?Cleo")])
    await keys.press("Enter")
    for wrong in ("0", "1.5", "soon", "9999"):
        await field(max_, "hours").fill(wrong)
        await keys.press("Enter")
        await expect(hint).to_contain_text("1 to 8760")
        await expect(hint).to_have_class(re.compile("bad"))
    await field(max_, "hours").fill("2")
    await keys.press("Enter")
    await expect(max_.message("From now on I don't answer @Cleo in this server")).to_be_visible()


async def test_members_see_no_moderation_commands(visit: Visit) -> None:
    tab = await visit("Bo")
    await tab.composer.fill("/")
    await expect(options(tab).filter(has_text="/help")).to_be_visible()
    for name in ("/block", "/server", "/pause", "/model"):
        await expect(options(tab).filter(has_text=name)).to_have_count(0)
    await tab.speak_as("Max")
    await tab.composer.fill("/server")
    await expect(options(tab).filter(has_text="/server")).to_be_visible()
    await tab.composer.press("Enter")
    await expect(tab.page.get_by_role("button", name="/server", exact=False)).to_be_visible()
    await tab.speak_as("Cleo")
    await expect(tab.composer).to_be_visible()
    await tab.button(re.compile("^You speak as Cleo, a member")).click()
    await expect(tab.page.get_by_role("menuitemradio")).to_contain_text(["Owner", "Moderator", "Member", "Member"])


async def test_field_grows_with_its_text(visit: Visit) -> None:
    max_ = await visit("Max")
    await max_.composer.fill("/usage")
    await max_.composer.press("Enter")
    await options(max_).filter(has_text="server").click()
    whose = field(max_, "whose")
    await expect(whose).to_have_value("server: what everybody in this server used")
    assert await whose.evaluate("field => field.scrollWidth <= field.clientWidth")


async def test_note_is_used_and_a_deleted_fact_is_not_found(visit: Visit) -> None:
    bo = await visit("Bo")
    fact = await bo.say("@Parley my sister's boat is called Marigold")
    await expect(bo.message("I'm the offline demo")).to_be_visible()
    await bo.command("/memory")
    await bo.button("Add a note").click()
    form = bo.page.get_by_role("dialog", name="A note about you")
    await form.get_by_role("textbox").fill("call me Kim")
    await form.get_by_role("button", name="Submit").click()
    saved = bo.message("Saved.")
    await expect(saved).to_contain_text("1. call me Kim")
    await expect(saved).to_contain_text("Only you can see this")
    await bo.say("@Parley what is my name?")
    await expect(bo.message("You are Kim.")).to_be_visible()

    await bo.command("/memory", "MARIGOLD")
    await expect(bo.message("Search for MARIGOLD").locator("strong", has_text="Marigold").first).to_be_visible()
    await bo.menu(fact, "Delete")
    question = bo.page.get_by_role("dialog", name="Delete your message?")
    await expect(question).to_contain_text("@Parley my sister's boat is called Marigold")
    await question.get_by_role("button", name="Delete").click()
    await expect(fact).to_have_count(0)
    await bo.command("/memory", "MARIGOLD")
    await expect(bo.message("Nothing found for MARIGOLD")).to_be_visible()


async def test_form_takes_a_long_text(visit: Visit) -> None:
    max_, bo = await visit("Max"), await visit("Bo")
    await max_.command("/persona")
    await max_.button("Change").click()
    form = max_.page.get_by_role("dialog", name="How I behave here")
    text = form.get_by_role("textbox")
    await expect(text).to_be_focused()
    long = "You are a pirate. 🏴‍☠️ " * 150
    await text.fill(long + "x" * (4001 - len(long)))
    await expect(form.get_by_text("4001 / 4000")).to_be_visible()
    await form.get_by_role("button", name="Submit").click()
    await expect(form.get_by_role("alert")).to_contain_text(["Remove 1 character."])
    await expect(text).to_be_focused()
    await text.press("Backspace")
    await expect(form.get_by_text("4000 / 4000")).to_be_visible()
    await expect(form.get_by_role("alert").filter(has_text="Remove")).to_have_count(0)
    # A click beside it loses nothing.
    await max_.page.mouse.click(5, 5)
    await text.press("Control+Enter")
    await expect(max_.message("From the next question on I behave like that")).to_contain_text("Only you can see this")
    await expect(bo.message("Max changed how I behave here.")).to_be_visible()
    await expect(form).to_have_count(0)
    await expect(max_.button("Change")).to_have_count(0)
    await bo.say("@Parley who are you?")
    told = bo.message("I was told: “You are a pirate.")
    await expect(told).to_contain_text("I was asked as the model demo.")
    await max_.command("/persona")
    await max_.button("Change").last.click()
    await expect(text).to_have_value(re.compile("^You are a pirate. 🏴‍☠️"))
    await max_.page.keyboard.press("Escape")
    await expect(form).to_have_count(0)
    await expect(max_.button("Change").last).to_be_focused()


async def test_private_buttons_and_files(visit: Visit) -> None:
    bo, cleo = await visit("Bo"), await visit("Cleo")
    await bo.say("@Parley my name is Bo")
    await expect(bo.message("Nice to meet you, Bo!")).to_contain_text("offline demo")
    await bo.command("/export")
    async with bo.page.expect_download() as download:
        await bo.message(re.compile(r"used\s*/export")).get_by_role("link", name=re.compile(r"\.json")).click()
    kept = await download.value
    assert re.fullmatch(r"parley-[\d-]+\.json", kept.suggested_filename)
    assert "my name is Bo" in json.dumps(json.loads(Path(await kept.path()).read_text()))
    await bo.command("/forget-me")
    asked = bo.message(re.compile(r"used\s*/forget-me"))
    await expect(asked).to_contain_text("Only you can see this")
    await asked.get_by_role("button", name="Forget everything about me").press("Enter")
    await expect(asked).to_contain_text("I have forgotten everything about you: 1 question.")
    await expect(asked.get_by_role("button", name=re.compile("Forget|Keep"))).to_have_count(0)
    await expect(asked).to_be_focused()
    await expect(cleo.messages).to_have_count(2)


async def test_command_mention_can_be_pressed(visit: Visit) -> None:
    bo = await visit("Bo")
    await bo.command("/help")
    named = bo.message(re.compile(r"used\s*/help")).get_by_role("link", name="/memory")
    await bo.composer.fill("half a sent")
    await named.focus()
    await named.press("Enter")
    await expect(bo.button("/memory")).to_be_visible()
    await expect(field(bo, "search")).to_be_focused()
    await bo.page.keyboard.press("Enter")
    await expect(bo.message("I remember nothing here.")).to_be_visible()
    await expect(bo.composer).to_have_value("half a sent")


async def test_command_on_a_phone(visit: Visit) -> None:
    max_ = await visit(width=390, height=844)
    await max_.button("Channels").click()
    await max_.speak_as("Max")
    await expect(max_.channels).not_to_be_in_viewport()
    await max_.composer.fill("/block")
    await max_.page.get_by_role("option", name="/block", exact=False).first.click()
    await expect(options(max_).first).to_be_in_viewport(ratio=1)
    await options(max_).filter(has_text="Cleo").click()
    await expect(field(max_, "member")).to_have_value("Cleo")
    await max_.button("Send").click()
    await expect(max_.message("From now on I don't answer @Cleo")).to_be_in_viewport()
    await max_.command("/persona")
    await max_.button("Change").click()
    form = max_.page.get_by_role("dialog")
    await form.get_by_role("textbox").fill("You are a pirate.\n" * 200)
    await expect(form.get_by_role("button", name="Submit")).to_be_in_viewport(ratio=1)
    assert await max_.page.evaluate("document.scrollingElement.scrollWidth") == 390


async def test_a_message_is_asked_about_and_its_answer_retried_by_their_menus(visit: Visit) -> None:
    cleo, bo = await visit("Cleo"), await visit("Bo")
    await cleo.say("tyger tyger, burning bright")
    await bo.menu(bo.message("tyger tyger"), "Ask about this")
    form = bo.page.get_by_role("dialog", name="Ask about this message")
    await form.get_by_role("textbox").fill("What does this mean?")
    await form.get_by_role("button", name="Submit").click()
    await expect(bo.message("I'm answering in reply to that message.")).to_contain_text("Only you can see this")
    answer = cleo.message("Bo asked: “What does this mean?”")
    await expect(answer).to_contain_text("(I'm the offline demo. For a real model")
    await bo.menu(bo.message("Bo asked"), "Retry answer")
    await expect(bo.message("I'm trying again.")).to_contain_text("Only you can see this")
    await cleo.menu(answer, "Retry answer")
    await expect(cleo.message("can do that.")).to_contain_text("Only Bo and moderators can do that.")


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
async def test_a_file_is_asked_about_in_private_and_settings_are_chosen(visit: Visit, width: int, height: int) -> None:
    bo, cleo = await visit("Bo"), await visit("Cleo")
    await bo.page.set_viewport_size({"width": width, "height": height})
    await bo.composer.press_sequentially("/ask")
    await bo.page.keyboard.press("Tab")
    await field(bo, "question").fill("What does it say?")
    async with bo.page.expect_response(re.compile("/files")):
        note = FilePayload(name="note.txt", mimeType="text/plain", buffer=b"the harbour opens at nine")
        await field(bo, "file").set_input_files(note)
    await field(bo, "only_for_me").click()
    await options(bo).filter(has_text="True").click()
    await expect(field(bo, "file")).to_be_in_viewport(ratio=1)
    await bo.button("Send").click()
    answer = bo.message(re.compile(r"used\s*/ask"))
    await expect(answer).to_contain_text("(I'm the offline demo. For a real model")
    await expect(answer.get_by_text("Only you can see this")).to_be_in_viewport(ratio=1)
    await bo.command("/settings")
    said = bo.message(re.compile(r"used\s*/settings"))
    for chosen, other in (("Use my messages", "Leave my messages out"), ("Ping after a wait", "Never ping")):
        await expect(said.get_by_role("button", name=chosen)).to_be_disabled()
        await expect(said.get_by_role("button", name=other)).to_be_in_viewport(ratio=1)
        await said.get_by_role("button", name=other).click()
        await expect(said.get_by_role("button", name=other)).to_be_disabled()
    await expect(said).to_contain_text("My answers never ping you.")
    await expect(said.get_by_text("Only you can see this")).to_be_in_viewport(ratio=1)
    assert await bo.page.evaluate("document.scrollingElement.scrollWidth") == width
    await cleo.say("Anybody here?")
    await expect(cleo.messages).to_have_count(1)
