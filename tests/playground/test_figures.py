"""The figures that the page draws."""

from __future__ import annotations

import re

import pytest

from bot.playground.page import _STATIC
from tests.playground.conftest import Home, Tab
from tests.waiting import until

pytestmark = pytest.mark.virtual_time


async def counted(tab: Tab) -> dict[str, float]:
    """All figures by name and labels: values, and of histograms the number of observations."""
    return {
        " ".join((figure["name"], *each["labels"])): each.get("value", each.get("count"))
        for figure in (await tab.do("figures"))["figures"]
        for each in figure["series"]
    }


async def test_page_gets_the_figures_of_the_bot_over_its_restarts(home: Home) -> None:
    tab = await home.tab()
    await tab.say(f"<@{tab.id_of('Parley')}> repeat one")
    await tab.reply("one")
    tab.frames.clear()
    await tab.do("fault", name="bot_restart", on=True, channel=None)
    await tab.until(lambda: [each["state"] for each in tab.frames if each["t"] == "bot"][-1:] == ["online"])
    await tab.say(f"<@{tab.id_of('Parley')}> repeat two")
    await tab.reply("two")

    async def ended() -> float | None:
        return (await counted(tab)).get("turns complete none")

    await until(ended, 2)
    seen = await counted(tab)
    assert seen["first_word_seconds"] == 2
    assert seen["shards_connected"] == 1
    assert seen["tokens test reply"] > 0


async def test_page_draws_figures_that_there_are(home: Home) -> None:
    drawn = re.findall(r'name: "(\w+)"', (_STATIC / "figures.js").read_text(encoding="utf-8"))
    assert len(drawn) > 15
    tab = await home.tab()
    assert set(drawn) <= {figure["name"] for figure in (await tab.do("figures"))["figures"]}
