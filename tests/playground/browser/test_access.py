"""For whoever sees little, hears the page or uses no mouse: axe's rules in every view, contrast, fonts and keys."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from functools import partial

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import FilePayload, expect

from tests.playground.browser.conftest import Tab, Visit
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="session")

EVERY_PART = "**tea** `or` ||coffee|| @Max #random https://example.com\n```python\nprint(1)\n```"
AT_REST = """
    document.getAnimations().every((each) =>
        each.playState !== "running" || each.effect.getComputedTiming().endTime === Infinity)
"""
CONTRASTS = """
    (() => {
        const context = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d", {
            willReadFrequently: true,
        });
        const luminance = (color) => {
            context.fillStyle = color;
            context.fillRect(0, 0, 1, 1);
            const [red, green, blue] = [...context.getImageData(0, 0, 1, 1).data].map((part) =>
                part <= 10 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4);
            return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
        };
        const { borderTopColor, backgroundColor } = getComputedStyle(document.querySelector(".composer-box"));
        return [backgroundColor, getComputedStyle(document.body).backgroundColor].map((each) => {
            const [low, high] = [luminance(borderTopColor), luminance(each)].sort((a, b) => a - b);
            return (high + 0.05) / (low + 0.05);
        });
    })()
"""
"""The contrast of the composer's border with what is inside and outside of it, by WCAG's formula."""


async def views(tab: Tab, *, narrow: bool) -> AsyncIterator[str]:
    """Bring the page from view to view, as Max."""
    page, closing = tab.page, tab.button("Close")
    if narrow:
        await tab.button("Channels").click()
        yield "channels"
    await tab.speak_as("Max")
    await tab.say("@Parley table")
    await expect(tab.message("Mercury")).to_be_visible()
    await tab.say("nobody is mentioned")
    await expect(tab.button("Add @Parley")).to_be_visible()
    yield "channel"
    await tab.messages.first.click(button="right", position={"x": 200, "y": 8})
    yield "menu"
    await page.get_by_role("menuitem", name="Delete").click()
    yield "delete"
    await page.keyboard.press("Escape")
    await tab.write("/")
    await expect(page.get_by_role("option").first).to_be_visible()
    yield "commands"
    await tab.command("/persona")
    await tab.button("Change").last.click()
    form = page.get_by_role("dialog")
    yield "form"
    await form.get_by_role("textbox").fill("x" * 4001)
    await form.get_by_role("button", name="Submit").click()
    yield "form with a mistake"
    await page.keyboard.press("Escape")
    await tab.drawer()
    yield "what Discord sees"
    await page.get_by_text("Figures", exact=True).click()
    await expect(page.get_by_role("row", name=re.compile("^Answers [1-9]"))).to_be_visible()
    yield "figures"
    await closing.click()
    await tab.button("People").click()
    yield "people"
    await closing.click()
    await tab.menu(await tab.say(f"a thread for {narrow}"), "Start a thread")
    yield "start a thread"
    await page.keyboard.press("Enter")
    await expect(tab.composer).to_have_attribute("placeholder", re.compile("a thread for"))
    await tab.say("in here")
    yield "thread"
    if narrow:
        await tab.button("Channels").click()
    await tab.go("Parley")
    await tab.say("help")
    await expect(tab.message("I can't think, but")).to_be_visible()
    yield "direct messages"
    await page.locator("input[type=file]").set_input_files(FilePayload(name="a.ogg", mimeType="audio/ogg", buffer=b"x"))
    await expect(tab.button("Send as voice message")).to_be_visible()
    yield "audio file"
    await tab.button("Record a voice message").click()
    await expect(page.get_by_role("timer")).not_to_have_text("0:00")
    yield "recording"
    await page.keyboard.press("Enter")
    await expect(tab.message("I heard: ")).to_be_visible()
    await tab.button("Remove a.ogg").click()
    yield "voice message"
    await page.keyboard.press("Control+k")
    yield "go to a channel"
    await page.keyboard.press("Escape")


COLOURS = {"runOnly": {"type": "rule", "values": ["color-contrast", "link-in-text-block"]}}
"""All rules for colours, which are all that a theme has of its own."""


@pytest.mark.long
async def test_axe_finds_nothing_in_any_view(visit: Visit) -> None:
    await (await visit("Bo")).say(EVERY_PART, "tea")
    found = []
    for width, height in ((1280, 800), (390, 844)):
        tab = await visit(width=width, height=height)
        async for view in views(tab, narrow=width < 760):
            for theme in ("light", "dark"):
                await tab.page.emulate_media(color_scheme=theme)
                await until(partial(tab.page.evaluate, AT_REST))
                rules = {"resultTypes": ["violations"]} | (COLOURS if theme == "dark" else {})
                checked = await Axe().run(tab.page, options=rules)
                for rule in checked.response["violations"]:
                    found += [
                        f"{view} at {width}, {theme}: {rule['id']} {each['html'][:160]}" for each in rule["nodes"]
                    ]
        await tab.page.emulate_media(color_scheme="null")
    assert found == [], "\n".join(found)


async def test_composer_can_be_seen_and_digits_read(visit: Visit) -> None:
    tab = await visit()
    for theme in ("light", "dark"):
        await tab.page.evaluate("theme => { document.documentElement.dataset.theme = theme }", theme)
        await tab.button("Switch between light and dark").focus()
        contrasts = await tab.page.evaluate(CONTRASTS)
        assert min(contrasts) >= 3, (theme, contrasts)
    fonts = await tab.page.evaluate("getComputedStyle(document.body).fontFamily")
    assert '"DejaVu Sans", system-ui, sans-serif, "Apple Color Emoji"' in fonts, "emoji fonts have digits, too"


async def test_typing_anywhere_reaches_the_composer(visit: Visit) -> None:
    ada = await visit()
    keys = ada.page.keyboard
    await ada.say("tea")
    await ada.messages.last.click(position={"x": 200, "y": 8})
    await keys.type("rice ")
    await ada.button("Switch between light and dark").focus()
    await keys.type("ok?")
    await expect(ada.composer).to_have_value("rice ok?")
    await ada.button("People").focus()
    for passed_by in ("Control+b", "Alt+b", "Meta+b", " ", "F2", "ArrowDown"):
        await keys.press(passed_by)
    await expect(ada.composer).not_to_be_focused()
    await ada.menu(ada.messages.last, "Edit")
    await keys.type("!")
    await keys.press("Enter")
    await expect(ada.messages.last).to_contain_text("tea!(edited)")
    await ada.menu(ada.messages.last, "Delete")
    await keys.type("x")
    await expect(ada.page.get_by_role("dialog", name="Delete your message?")).to_be_visible()
    await keys.press("Escape")
    await expect(ada.composer).to_have_value("rice ok?")


async def test_log_is_one_tab_stop_behind_two_skip_links(visit: Visit) -> None:
    bo, ada = await visit("Bo"), await visit()
    await bo.say(EVERY_PART, "tea")
    await ada.say("@Parley long")
    await expect(ada.button("Stop")).to_be_visible()
    keys = ada.page.keyboard
    for name, reached in (("Skip to the messages", ada.messages.last), ("Skip to the message box", ada.composer)):
        link = ada.page.get_by_role("link", name=name)
        await link.focus()
        await expect(link).to_be_in_viewport()
        await keys.press("Enter")
        await expect(reached).to_be_focused()
    await ada.messages.last.focus()
    await keys.press("Tab")
    await expect(ada.page.get_by_role("button", name="@Parley my name is Ada")).to_be_focused()
    await keys.press("ArrowRight")
    await expect(ada.page.get_by_role("button", name="@Parley what is my name?")).to_be_focused()
    await keys.press("Shift+Tab")
    await expect(ada.messages.last).to_be_focused()
    for within in ("Go to the message replied to", "Stop"):
        await keys.press("ArrowRight")
        await expect(ada.messages.last.get_by_role("button", name=within)).to_be_focused()
    await keys.press("Enter")
    await expect(ada.message("Stopped by Ada.")).to_be_focused()
    await keys.press("Home")
    for role, name in (("button", "Spoiler"), ("link", "@Max"), ("link", "random"), ("link", "https://example.com")):
        await keys.press("ArrowRight")
        await expect(ada.messages.first.get_by_role(role, name=name).first).to_be_focused()  # type: ignore[arg-type]
    await keys.press("Escape")
    await expect(ada.messages.first).to_be_focused()


async def test_delete_dialog_names_whose_and_where(visit: Visit) -> None:
    bo, max_ = await visit("Bo"), await visit("Max")
    await bo.menu(await bo.say("tea or coffee?"), "Start a thread")
    await bo.page.get_by_role("button", name="Start thread").click()
    await expect(bo.composer).to_have_attribute("placeholder", re.compile("tea or coffee"))
    await bo.say("in here")
    await max_.menu(max_.message("tea or coffee?"), "Delete")
    dialog = max_.page.get_by_role("dialog", name="Delete Bo's message?")
    await expect(dialog).to_contain_text("It disappears from #general. Its thread “tea or coffee?” stays.")
    await expect(dialog).to_contain_text("tea or coffee?")
    await dialog.get_by_role("button", name="Delete").click()
    await expect(max_.messages).to_have_count(0)
    await max_.channels.get_by_role("button", name="tea or coffee?").click()
    await max_.menu(max_.message("in here"), "Delete")
    await expect(dialog).to_contain_text("It disappears from the thread “tea or coffee?”. This can't be undone.")
    await max_.page.keyboard.press("Escape")
