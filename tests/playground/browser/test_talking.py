"""Talking with the bot: what a person sees of its answers, commands and buttons."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Locator, expect

from bot.llm.demo import NOTE
from tests.playground.browser.conftest import Tab, Visit

pytestmark = pytest.mark.asyncio(loop_scope="session")

WATCH = """
    window.lengths = [];
    const log = document.querySelector("[role=log]");
    new MutationObserver(() => {
        const answer = log.querySelectorAll("article")[1];
        if (answer) window.lengths.push(answer.innerText.length);
    }).observe(log, { subtree: true, childList: true, characterData: true });
"""
"""Has the page note how long the second message is whenever anything about the messages changes."""


async def answered(tab: Tab, text: str) -> Locator:
    """The answer with that text, once it is complete."""
    answer = tab.message(text)
    await expect(answer).to_contain_text(NOTE)
    return answer


async def test_completed_mention_is_answered_live(visit: Visit) -> None:
    ada, bo = await visit(), await visit("Bo")
    await ada.composer.press_sequentially("well @par")
    await ada.page.get_by_role("option", name="Parley App").click()
    await expect(ada.composer).to_have_value("well @Parley ")
    await ada.composer.press_sequentially("what is a `<b>`?")
    await ada.page.evaluate(WATCH)
    await ada.composer.press("Enter")
    await expect(ada.composer).to_have_value("")
    answer = await answered(ada, "You said:")
    lengths = await ada.page.evaluate("window.lengths")
    assert len(set(lengths)) > 2
    assert lengths == sorted(lengths)
    await expect(answer).to_contain_text("well @Parley what is a <b>?")
    await expect(answer).to_contain_text("It is the first thing you have said.")
    await expect(answer.get_by_role("button", name="Go to the message replied to")).to_have_text(
        "well @Parley what is a <b>?"
    )
    await expect(bo.messages).to_have_text(await ada.messages.all_inner_texts(), use_inner_text=True)


async def test_direct_message_is_private_without_a_mention(visit: Visit) -> None:
    tab = await visit()
    await tab.go("Parley")
    await tab.say("my name is Ada Lovelace")
    await answered(tab, "Nice to meet you, Ada Lovelace!")
    await tab.speak_as("Bo")
    await expect(tab.page.get_by_text("Your direct messages with Parley")).to_be_visible()
    await expect(tab.messages).to_have_count(0)


async def test_reset_is_announced(visit: Visit) -> None:
    ada = await visit()
    await ada.say("@Parley my name is Ada")
    await answered(ada, "Nice to meet you, Ada!")
    await ada.composer.press_sequentially("/re")
    await expect(ada.page.get_by_role("option", name="/reset")).to_contain_text("Forget this conversation")
    await ada.composer.press("Enter")
    await ada.page.keyboard.press("Enter")
    sentence = ada.message("Ada cleared my memory here: 1 question. The messages above stay.")
    await expect(sentence).to_contain_text(re.compile(r"Ada\s*used\s*/reset"))
    await expect(ada.composer).to_be_focused()
    await ada.speak_as("Bo")
    await ada.say("@Parley how many messages do you remember?")
    await answered(ada, "I remember 0 messages of yours")
    await expect(sentence).to_be_visible()


async def test_stop_button_ends_a_reply(visit: Visit) -> None:
    ada, bo = await visit(), await visit("Bo")
    await ada.say("@Parley long")
    answer = ada.message("A conversation is a loop of turns")
    await bo.button("Stop").click()
    await expect(bo.message("Only Ada and moderators can do that.")).to_contain_text("Only you can see this")
    await answer.get_by_role("button", name="Stop").click()
    for tab in (ada, bo):
        await expect(tab.message("Stopped by Ada.")).not_to_contain_text(NOTE)
        await expect(tab.button("Stop")).to_have_count(0)
    await expect(ada.log).not_to_contain_text("Only Ada and moderators")


async def test_ephemeral_answer_stays_until_dismissed(visit: Visit) -> None:
    ada, other = await visit(), await visit("Bo")
    await ada.composer.fill("/stop")
    await ada.composer.press("Enter")
    await ada.page.keyboard.press("Enter")
    await expect(ada.message("I'm not writing anything for you here right now.")).to_contain_text(
        "Only you can see this"
    )
    await ada.say("a quiet place")
    await expect(other.message("a quiet place")).to_be_visible()
    await expect(other.messages).to_have_count(1)
    await other.speak_as("Ada")
    await expect(other.messages).to_have_count(2)
    await other.button("Dismiss message").click()
    for tab in (ada, other):
        await expect(tab.messages).to_have_count(1)
        await expect(tab.message("a quiet place")).to_be_visible()


async def test_model_failure_is_shown_and_retried(visit: Visit) -> None:
    ada = await visit()
    drawer = await ada.drawer()
    fault = drawer.get_by_role("switch", name="The model is busy")
    await fault.press("Space")
    await expect(fault).to_be_checked()
    await expect(fault).to_be_focused()
    await ada.say("@Parley hello")
    failed = ada.message("My model is busy. Try again in 20 s.")
    await expect(failed).to_be_visible()
    await fault.click()
    await expect(fault).not_to_be_checked()
    await failed.get_by_role("button", name="Retry").click()
    await answered(ada, "Hello! Say “help”")
    await expect(ada.button("Retry")).to_have_count(0)
    calls = drawer.get_by_role("listitem")
    sent = calls.filter(has_text=re.compile(r"POST.*/channels/.*/messages")).last
    await expect(sent).to_contain_text(re.compile(r"200 \d+ ms"))
    await expect(sent).to_contain_text(re.compile(r"\d of 5 left· bucket \w+"))
    await expect(calls.filter(has_text="MESSAGE_CREATE").filter(has_text="hello").first).to_be_visible()
    await drawer.get_by_role("radio", name="Calls").click()
    await expect(calls.filter(has_text="MESSAGE_CREATE").first).to_be_hidden()
    await expect(sent).to_be_visible()


async def test_thread_is_opened_and_answered(visit: Visit) -> None:
    ada = await visit()
    await ada.menu(await ada.say("tea or coffee?"), "Start a thread")
    name = ada.page.get_by_role("textbox", name="Thread name")
    await expect(name).to_have_value("tea or coffee?")
    await name.fill("Drinks")
    await name.press("Enter")
    await expect(ada.composer).to_have_attribute("placeholder", re.compile("Drinks"))
    await ada.say("@Parley hello")
    await answered(ada, "Hello! Say “help”")
    await ada.go("general")
    await expect(ada.messages.filter(has_text="Hello!")).to_have_count(0)
    await ada.message("tea or coffee?").get_by_role("button", name="Drinks").click()
    await answered(ada, "Hello! Say “help”")


async def test_reply_without_a_mouse(visit: Visit) -> None:
    ada = await visit()
    keys = ada.page.keyboard
    await expect(ada.composer).to_be_focused()
    await keys.type("@par")
    await expect(ada.page.get_by_role("option", name="Parley App")).to_have_attribute("aria-selected", "true")
    await keys.press("Tab")
    await keys.type("repeat one")
    await keys.press("Shift+Enter")
    await keys.type("two")
    await keys.press("Enter")
    await answered(ada, "one")
    suggestions = ada.page.get_by_role("toolbar", name="Suggestions").get_by_role("button")
    for passed in (ada.button("Add files"), suggestions.first, ada.messages.last):
        await keys.press("Shift+Tab")
        await expect(passed).to_be_focused()
    await keys.press("ArrowRight")
    await expect(ada.button("Go to the message replied to")).to_be_focused()
    await keys.press("ArrowLeft")
    await expect(ada.messages.last).to_be_focused()
    await keys.press("ArrowUp")
    await keys.press("e")
    await keys.press("Control+a")
    await keys.type("never mind")
    await keys.press("Enter")
    await expect(ada.messages.first).to_contain_text("never mind(edited)")
    await expect(ada.messages.first).to_be_focused()
    await keys.press("Escape")
    await expect(ada.composer).to_be_focused()
    await keys.press("Control+k")
    await ada.page.wait_for_timeout(300)  # Chromium may lose the caret where a dialog has stood for a while
    await keys.type("ran")
    await keys.press("Escape")
    await ada.page.wait_for_timeout(300)
    await keys.type("still here")
    await expect(ada.composer).to_have_value("still here")
    await keys.press("Alt+ArrowDown")
    await expect(ada.composer).to_have_attribute("placeholder", "Message #random")
