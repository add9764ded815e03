from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from bot.standin.model import ModelStandin
from bot.standin.script import Reply
from tests.playground.conftest import Home, Json, Tab, playing
from tests.waiting import PATIENCE

pytestmark = pytest.mark.virtual_time


async def ask(tab: Tab, text: str) -> None:
    await tab.say(f"<@{tab.id_of('Parley')}> {text}")


def _refused_message(entry: Json) -> bool:
    return entry.get("code") == 50013 and str(entry["path"]).endswith("/messages")


async def test_bot_is_silent_until_it_may_write(home: Home) -> None:
    tab = await home.tab()
    await tab.do("fault", name="rest_forbid", on=True, channel=tab.channel)
    await tab.until(lambda: tab.switch("rest_forbid")["on"])
    await ask(tab, "repeat unheard")
    await tab.until(lambda: any(_refused_message(each) for each in tab.wire.values()))
    await tab.do("open", channel=tab.place("random"))
    await tab.until(lambda: not tab.switch("rest_forbid")["on"])
    await tab.do("open", channel=tab.place("general"))
    await tab.do("fault", name="rest_forbid", on=False, channel=tab.channel)
    await ask(tab, "repeat heard")
    await tab.reply("heard")
    assert "unheard" not in str([each for each in tab.messages.values() if each["author"]["bot"]])


@pytest.mark.fault_may_miss("The second switch replaces the first before anybody asks.")
async def test_model_fault_switches_are_exclusive(home: Home, model: ModelStandin) -> None:
    tab = await home.tab()
    await tab.do("fault", name="model_stalls", on=True, channel=None)
    await tab.do("fault", name="model_busy", on=True, channel=None)
    await tab.until(lambda: tab.switch("model_busy")["on"] and not tab.switch("model_stalls")["on"])
    await ask(tab, "hello")
    failed = await tab.reply("-# My model is busy. Try again in 20 s.")
    assert model.requests == [], "the configured model is not troubled with it"
    await tab.do("fault", name="model_busy", on=False, channel=None)
    await tab.do("press", message=failed["id"], custom_id=failed["rows"][0][0]["custom_id"])
    await tab.reply("Hello!")
    assert len(model.requests) == 1


async def test_fault_of_the_model_leaves_the_fallback_alone(model: ModelStandin, tmp_path: Path) -> None:
    async with playing(model, tmp_path / "playground.db", FALLBACK_MODEL="spare") as home:
        tab = await home.tab()
        await tab.do("fault", name="model_refuses_key", on=True, channel=None)
        await ask(tab, "hello")
        await tab.reply("-# Answered by spare (127.0.0.1).")
    assert [request.body["model"] for request in model.requests] == ["spare"]


async def test_what_the_server_takes_is_remembered(model: ModelStandin, tmp_path: Path) -> None:
    model.refused_parameters = {"stream_options"}
    for _ in range(2):
        async with playing(model, tmp_path / "playground.db") as home:
            tab = await home.tab()
            await ask(tab, "hello")
            await tab.until(lambda: len([each for each in model.requests if each.step is not None]) > 0)
            await tab.reply("Hello!")
    assert ["stream_options" in request.body for request in model.requests] == [True, False, False]


async def test_cut_reply_keeps_its_text(home: Home) -> None:
    tab = await home.tab()
    await tab.do("fault", name="model_cuts", on=True, channel=None)
    await ask(tab, "long")
    reply = await tab.reply("-# The answer broke off.")
    assert reply["raw"].startswith("# On conversations")


async def test_bot_survives_gateway_and_rest_faults(home: Home, model: ModelStandin) -> None:
    model.script.append(Reply("word " * 60 + "end.", tokens_per_second=60))
    tab = await home.tab()
    await ask(tab, "write")
    await tab.reply("word")
    for name in ("gateway_drop", "rest_429"):
        await tab.do("fault", name=name, on=True, channel=None)
    await tab.reply("end.")
    await tab.until(lambda: {"RESUME", "RESUMED"} <= {each.get("name") for each in tab.wire.values()})
    assert 429 in {each.get("status") for each in tab.wire.values()}
    await ask(tab, "repeat after that")
    await tab.reply("after that")


async def test_bot_restarts_and_remembers(home: Home) -> None:
    tab = await home.tab()
    await ask(tab, "I like tea.")
    await tab.reply("offline demo")
    await tab.do("fault", name="bot_restart", on=True, channel=None)
    await tab.until(lambda: tab.latest["bot"]["state"] != "online")
    await tab.until(lambda: tab.latest["bot"]["state"] == "online")
    await ask(tab, "what did I say first?")
    await tab.reply("I like tea.")


async def test_newest_reply_can_be_deleted(home: Home, model: ModelStandin) -> None:
    model.script.append(Reply("word " * 500, tokens_per_second=60))
    tab = await home.tab()
    await ask(tab, "write")
    reply = await tab.reply("word")
    await tab.do("fault", name="rest_delete", on=True, channel=tab.channel)
    await tab.until(lambda: reply["id"] not in tab.messages)
    async with asyncio.timeout(PATIENCE):
        await model.requests[0].over()
    assert model.requests[0].left


async def test_no_token_reaches_the_page(home: Home) -> None:
    tab = await home.tab()
    await tab.until(lambda: tab.latest["commands"]["list"])
    await tab.do("slash", channel=tab.channel, command="stop", options={})
    await tab.until(lambda: any("/callback" in entry.get("path", "") for entry in tab.wire.values()))
    identify = next(entry for entry in tab.wire.values() if entry.get("name") == "IDENTIFY")
    assert identify["text"] == "intents: guilds, guild_messages, direct_messages"
    assert all(len(piece) < 30 for entry in tab.wire.values() for piece in entry.get("path", "").split("/"))


async def test_message_content_is_a_switch(home: Home) -> None:
    max_ = await home.tab("Max")
    assert not max_.switch("message_content")["on"]
    await max_.do("fault", name="message_content", on=True, channel=None)
    await max_.until(lambda: max_.switch("message_content")["on"] and max_.latest["bot"]["state"] != "online")
    await max_.until(lambda: max_.latest["bot"]["state"] == "online")
    await max_.until(lambda: "server" in {each["name"] for each in max_.latest["commands"]["list"]})
    await max_.do("slash", channel=max_.channel, command="server", options={})
    page = await max_.reply("I answer everywhere in this server.")
    await choose(max_, page, "open", max_.place("general"))
    await choose(max_, page, "mention", "all")
    chosen = next(each for each in parts(max_, page) if ":mention:" in each["custom_id"])
    assert [each["label"] for each in chosen["options"] if each["chosen"]] == ["Without @: in the whole channel"]
    await max_.say("repeat without a mention")
    await max_.reply("without a mention")


def parts(tab: Tab, page: Json) -> list[Json]:
    return [part for row in tab.messages[page["id"]]["rows"] for part in row]


async def choose(tab: Tab, page: Json, action: str, value: str) -> None:
    await tab.until(lambda: any(f":{action}" in each["custom_id"] for each in parts(tab, page)))
    [menu] = [each for each in parts(tab, page) if each["custom_id"].split(":")[1] == action]
    await tab.do("choose", message=page["id"], custom_id=menu["custom_id"], values=[value])
    await tab.until(lambda: menu not in parts(tab, page))
