"""Threads and forums on the page: what is answered in them, and what the left column and the cards show of them."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.playground.browser.conftest import Tab, Visit

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def keep(tab: Tab, name: str) -> None:
    """Keep a picture of the page where the environment says, for whoever wants to look at it."""
    if folder := os.environ.get("SCREENSHOTS"):
        await tab.page.screenshot(path=Path(folder) / f"{name}.png")


async def test_question_gets_a_thread_with_a_title_once_a_moderator_says_so(visit: Visit) -> None:
    max_, ada = await visit("Max"), await visit("Ada")
    await max_.command("/server")
    await max_.button("Change this channel").click()
    await max_.page.get_by_label("Threads: off").select_option(label="Threads: on")
    await expect(max_.page.get_by_label("Threads: on")).to_be_visible()
    await keep(max_, "server")
    question = await ada.say("@Parley my boat is called Gale", shown="my boat is called Gale")
    card = question.get_by_role("button", name=re.compile("About “my boat is called Gale”"))
    await expect(card).to_be_visible()
    await keep(ada, "question")
    await card.click()
    await expect(ada.place).to_have_text("About “my boat is called Gale”")
    await expect(ada.message("To go on, mention me or reply to me with the ping on.")).to_be_visible()
    await keep(ada, "thread")
    await ada.say("@Parley what did I say first?", shown="what did I say first?")
    await expect(
        ada.message(re.compile("You said first:.*my boat is called Gale|my boat is called Gale"))
    ).to_be_visible()


@pytest.mark.parametrize("width", [1280, 390])
async def test_forum_has_posts_and_takes_no_messages(visit: Visit, width: int) -> None:
    ada = await visit("Ada", width=width, height=800 if width > 1000 else 844)
    if width < 1000:
        await ada.button("Channels").click()
    await ada.channels.get_by_role("button", name="questions", exact=True).click()
    await expect(ada.place).to_have_text("questions")
    await expect(ada.page.get_by_role("textbox", name="Open a post, or write a new one")).to_be_disabled()
    await ada.button("New post").click()
    await ada.page.get_by_label("Title").fill("My boat leaks")
    await ada.page.get_by_role("dialog").get_by_label("Message").fill("@Parley repeat bail it out")
    await keep(ada, f"new-post-{width}")
    await ada.button("Post").click()
    await expect(ada.place).to_have_text("My boat leaks")
    await expect(ada.message("the offline demo")).to_be_visible()
    await keep(ada, f"post-{width}")
    if width < 1000:
        await ada.button("Channels").click()
    await ada.channels.get_by_role("button", name="questions", exact=True).click()
    await keep(ada, f"forum-{width}")
    await ada.page.get_by_role("main").get_by_role("button", name="My boat leaks").click()
    await expect(ada.place).to_have_text("My boat leaks")
