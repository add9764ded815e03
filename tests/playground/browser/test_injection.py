"""What people write stays text, wherever the page shows it."""

from __future__ import annotations

import json
import re

import pytest
from playwright.async_api import Error, FilePayload, Locator, Page, expect

from bot.llm.demo import NOTE
from tests.playground.browser.conftest import Tab, Visit

pytestmark = pytest.mark.asyncio(loop_scope="session")

RUN = "window.ran=1"
TAG = f'"><img src=x onerror={RUN}>'
SCRIPT = f"<script>{RUN}</script>"
ATTRIBUTE = f'"onclick="{RUN}'
MARKDOWN = "\n".join(
    (
        f"# {TAG}",
        f"> {SCRIPT} <svg/onload={RUN}> <iframe srcdoc='{SCRIPT}'></iframe>",
        f"- ||{TAG}|| **{TAG}** `{TAG}`",
        f"[a](javascript:{RUN}) [b](data:text/html,{SCRIPT}) <javascript:{RUN}> [c](https://x.test/{ATTRIBUTE})",
        f"[{TAG}](https://x.test/{ATTRIBUTE}) https://x.test/{ATTRIBUTE} <https://x.test/{ATTRIBUTE}>",
        f"<@1{ATTRIBUTE}> <t:0:{ATTRIBUTE}> <:x{ATTRIBUTE}:1> <#{TAG}> </{ATTRIBUTE}:1>",
        f"```{TAG}\ncode {TAG}\n```",
        f"```py{ATTRIBUTE}\n{TAG}\n```",
        f"```html\n{TAG}{SCRIPT}\n```",
    )
)
PAGE = f"<html onload={RUN}><script>{RUN}</script><svg xmlns='http://www.w3.org/2000/svg' onload='{RUN}'/></html>"
LITERAL = (TAG, SCRIPT, f"<svg/onload={RUN}>", f"[a](javascript:{RUN})", f"[b](data:text/html,{SCRIPT})")


async def test_message_markup_does_not_run(visit: Visit) -> None:
    ada, bo = await visit(), await visit("Bo")
    await bo.button("What Discord sees").click()
    written = await ada.say(MARKDOWN, TAG)
    for literal in LITERAL:
        await expect(written).to_contain_text(literal)
    await ada.say(f"@Parley repeat {TAG}{SCRIPT}")
    await expect(ada.messages.nth(2)).to_contain_text(NOTE)
    await expect(ada.messages.nth(2)).to_contain_text(f"{TAG}{SCRIPT}")
    edited = await ada.say("soon")
    await ada.menu(edited, "Edit")
    await edited.get_by_role("textbox").fill(f"{TAG}{SCRIPT}")
    await edited.get_by_role("textbox").press("Enter")
    await expect(bo.messages.last).to_contain_text(f"{TAG}{SCRIPT}(edited)")
    await ada.menu(edited, "Reply")
    await ada.say(TAG)
    await expect(bo.messages.last.get_by_role("button", name="Go to the message")).to_have_text(f"{TAG}{SCRIPT}")
    await open_thread(ada, edited, TAG)
    await expect(ada.channels.get_by_role("button", name=TAG)).to_be_visible()
    await ada.composer.fill("#")
    await expect(ada.page.get_by_role("option").last).to_contain_text(TAG)
    await ada.say(f"see #{TAG}")
    await expect(ada.messages.last).to_contain_text(f"see #{TAG}")
    await ada.go("general")
    await expect(
        bo.log.get_by_role("button").filter(has_text=re.compile(f"{re.escape(TAG)}\\d message"))
    ).to_be_visible()
    await ada.menu(ada.messages.first, "Delete")
    await expect(ada.page.get_by_role("dialog")).to_contain_text(TAG)
    for tab in (ada, bo):
        await nothing_ran(tab.page)


async def test_uploaded_files_do_not_run(visit: Visit) -> None:
    ada = await visit()
    kinds = {f"{TAG}.svg": "image/svg+xml", "x.html": "text/html", "x.xhtml": f"application/xhtml+xml;{ATTRIBUTE}"}
    await ada.page.locator("input[type=file]").set_input_files(
        [FilePayload(name=name, mimeType=kind, buffer=PAGE.encode()) for name, kind in kinds.items()]
    )
    waiting = ada.page.get_by_role("list", name="Files to send").get_by_role("listitem")
    await expect(waiting).to_contain_text([f"{name}{len(PAGE)} bytes" for name in kinds])
    await ada.say("three files")
    files = ada.message("three files").get_by_role("link")
    await expect(files).to_contain_text(["img src=x onerror", "x.html", "x.xhtml"])
    for file in await files.all():
        page = await ada.page.context.new_page()
        async with page.expect_download():
            with pytest.raises(Error):  # what is downloaded is no page to go to
                await page.goto(await file.evaluate("link => link.href"))
        await page.close()
    await nothing_ran(ada.page)


async def test_oversized_input_is_refused_with_a_sentence(visit: Visit) -> None:
    ada = await visit()
    await ada.say("hello")
    message = await ada.messages.last.evaluate("element => element.dataset.id")
    channel = await ada.page.evaluate("import('./static/state.js').then(({ state }) => state.channel)")
    for do, what, refused in (
        ("react", {"message": message, "emoji": TAG}, "That isn't an emoji."),
        ("slash", {"channel": channel, "command": TAG, "options": {}}, f"can't use /{TAG} in"),
        ("slash", {"channel": channel, "command": "reset", "options": {TAG: TAG}}, "Something is wrong with this page"),
        ("thread", {"channel": channel, "message": None, "name": TAG * 4}, "a name of up to 100 characters"),
    ):
        tell = f"import('./static/acts.js').then(({{ tell }}) => tell({do!r}, {json.dumps(what)}))"
        assert await ada.page.evaluate(tell) is None
        await expect(ada.page.get_by_role("alert")).to_contain_text(refused)
    await nothing_ran(ada.page)


async def open_thread(tab: Tab, message: Locator, name: str) -> None:
    await tab.menu(message, "Start a thread")
    box = tab.page.get_by_role("textbox", name="Thread name")
    await box.fill(name)
    await box.press("Enter")
    await expect(tab.place).to_have_text(name)


async def nothing_ran(page: Page) -> None:
    """Neither did a script run, nor is there anything in the page that could hold one."""
    assert await page.evaluate("window.ran") is None
    suspicious = await page.evaluate(
        """() => [...document.body.querySelectorAll("*")].filter((element) =>
            element.matches("script, iframe, object, embed, base, meta, link, style, [srcdoc]") ||
            element.matches(".md :is(img, svg:not(.icon))") ||
            element.getAttributeNames().some((name) => name.startsWith("on")) ||
            (element.matches("a[href]") && !["http:", "https:"].includes(element.protocol)) ||
            (element.matches("a[target]") && !element.relList.contains("noopener"))
        ).map((element) => element.outerHTML)"""
    )
    assert suspicious == []
