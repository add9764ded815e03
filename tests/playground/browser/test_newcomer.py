"""The first minutes of somebody who has never seen the page: suggestions, the hint, and a playground that restarts."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from bot.llm.demo import NOTE
from bot.playground.address import Address
from tests.playground.browser.conftest import Tab, Visit, demo_playground

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def test_suggestions_are_sent_by_one_click_and_stay(visit: Visit) -> None:
    ada = await visit()
    await ada.composer.fill("half a sent")
    suggestions = ada.page.get_by_role("toolbar", name="Suggestions")
    await suggestions.get_by_role("button", name="@Parley my name is Ada").click()
    first = ada.message("Nice to meet you, Ada!")
    await expect(first).to_contain_text(NOTE)
    await suggestions.get_by_role("button", name="@Parley what did I say first?").click()
    second = ada.message("The first thing you said: “my name is Ada”")
    await expect(second.get_by_role("button", name="Stop")).to_have_count(0)
    await expect(second).not_to_contain_text("offline demo")
    await expect(ada.composer).to_have_value("half a sent")
    await ada.go("Parley")
    await suggestions.get_by_role("button", name="help", exact=True).click()
    await expect(ada.message("I can't think, but")).to_contain_text(NOTE)
    await expect(ada.messages).to_have_count(2)


async def test_message_without_a_mention_gets_a_hint(visit: Visit) -> None:
    ada = await visit()
    hint = ada.page.locator("#hint")
    await ada.say("hello there")
    await expect(hint).to_contain_text("Parley only answers messages that mention it.")
    await expect(hint).to_have_role("status")
    await hint.get_by_role("button", name="Add @Parley").click()
    await expect(ada.message("Hello! Say “help”")).to_be_visible()
    await expect(ada.messages.first).to_contain_text("@Parley hello there(edited)")
    await expect(hint).to_be_empty()
    await expect(ada.composer).to_be_focused()
    await ada.say("and the weather?")
    await expect(hint).not_to_be_empty()
    await ada.say("@Parley hello")
    await expect(hint).to_be_empty()
    await ada.menu(ada.message("Hello! Say “help”"), "Reply")
    await ada.say("thanks")
    await expect(ada.message("You're welcome!")).to_be_visible()
    await expect(hint).to_be_empty()
    await ada.say("hello everybody")
    await hint.get_by_role("button", name="Close this hint").click()
    await ada.say("it is Ada")
    await expect(ada.messages.last).to_contain_text("it is Ada")
    await expect(hint).to_be_empty()
    await ada.go("Parley")
    await ada.say("hello")
    await expect(ada.message("Hello! Say “help”")).to_be_visible()
    await expect(hint).to_be_empty()


async def test_no_hint_where_a_message_may_need_no_mention(visit: Visit) -> None:
    ada = await visit()
    switch = (await ada.drawer("Settings")).get_by_role("switch", name="Message Content")
    await switch.click()
    await expect(switch).to_be_checked()
    await ada.say("hello there")
    await expect(ada.page.locator("#hint")).to_be_empty()


async def test_open_page_reconnects_to_the_next_playground(browser: Browser, tmp_path: Path) -> None:
    database = tmp_path / "playground.db"
    context = await browser.new_context()
    try:
        ada = Tab(await context.new_page())
        banner = ada.page.locator("#banner")
        async with demo_playground(database) as address:
            await ada.page.goto(address)
            await ada.say("@Parley my name is Ada")
            await expect(ada.message("Nice to meet you, Ada!")).to_contain_text(NOTE)
            await ada.composer.fill("half a sent")
        await expect(banner).to_contain_text("Start it again, and this page reconnects by itself.")
        async with demo_playground(database) as again:
            assert again == address
            await expect(banner).to_be_hidden()
            await expect(ada.messages).to_have_count(0)
            await expect(ada.composer).to_have_value("half a sent")
            await ada.say("@Parley what is my name?")
            await expect(ada.message("You are Ada.")).to_be_visible()
        Address.new(int(address.split(":")[2].split("/")[0])).keep(tmp_path / "playground.db.address")
        async with demo_playground(database):
            await expect(banner).to_contain_text("This address no longer works. Open the one that the terminal shows.")
    finally:
        await context.close()
