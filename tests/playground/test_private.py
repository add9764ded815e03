from __future__ import annotations

import asyncio

import pytest

from bot.standin.model import ModelStandin
from bot.standin.script import Reply
from tests.playground.conftest import Home

pytestmark = pytest.mark.virtual_time

NOTHING = "I'm not writing anything for you here right now."


async def test_ephemeral_answer_reaches_one_person(home: Home) -> None:
    bo, cleo, second = await home.tab("Bo"), await home.tab("Cleo"), await home.tab("Bo")
    await bo.until(lambda: {"reset", "stop"} <= {each["name"] for each in bo.latest["commands"]["list"]})
    await bo.do("slash", channel=bo.channel, command="stop", options={})
    answer = await bo.reply(NOTHING)
    await second.reply(NOTHING)
    assert (answer["ephemeral"], answer["command"]["name"], answer["command"]["user"]["name"]) == (True, "stop", "Bo")
    await cleo.say("hello")
    assert len(cleo.messages) == 1
    for do in ("react", "edit", "delete"):
        assert await cleo.refused(do, message=answer["id"], content="x", emoji="👍") == "That message is gone."
    assert await bo.refused("delete", message=answer["id"]) == "Only you can see this message. You can dismiss it."
    await cleo.do("dismiss", message=answer["id"])
    again = await home.tab("Bo")
    assert again.messages[answer["id"]]["raw"] == NOTHING
    await bo.do("dismiss", message=answer["id"])
    for tab in (bo, second, again):
        await tab.gone(answer["id"])


async def test_reset_is_public_and_forgets(home: Home, model: ModelStandin) -> None:
    bo, cleo = await home.tab("Bo"), await home.tab("Cleo")
    await bo.say(f"<@{bo.id_of('Parley')}> my name is Bo")
    await bo.reply("offline demo")
    await bo.do("slash", channel=bo.channel, command="reset", options={})
    said = await cleo.reply("Bo cleared my memory here: 1 question.")
    assert not said["ephemeral"]
    await bo.say(f"<@{bo.id_of('Parley')}> what did I say first?")
    await bo.reply("Nothing yet.")


async def test_unanswered_command_tells_its_user(home: Home) -> None:
    bo, cleo = await home.tab("Bo"), await home.tab("Cleo")
    await bo.do("fault", name="bot_away", on=True, channel=None)
    await bo.until(lambda: bo.latest["bot"]["state"] == "stopped")
    await bo.do("slash", channel=bo.channel, command="reset", options={})
    await bo.until(lambda: any(each["failed"] for each in bo.messages.values()))
    failed = next(each for each in bo.messages.values() if each["failed"])
    assert (failed["ephemeral"], failed["command"]["name"]) == (True, "reset")
    assert cleo.messages == {}
    await bo.do("fault", name="bot_away", on=False, channel=None)
    await bo.until(lambda: bo.latest["bot"]["state"] == "online")


async def test_button_belongs_to_its_asker(home: Home, model: ModelStandin) -> None:
    model.script.append(Reply("word " * 900, tokens_per_second=60))
    bo, cleo = await home.tab("Bo"), await home.tab("Cleo")
    await bo.say(f"<@{bo.id_of('Parley')}> write")
    await bo.until(lambda: any(each["rows"] for each in bo.messages.values()))
    message = next(each for each in bo.messages.values() if each["rows"])
    button = message["rows"][0][0]
    assert button["label"] == "Stop"
    await cleo.do("press", message=message["id"], custom_id=button["custom_id"])
    await cleo.until(lambda: any(each["ephemeral"] for each in cleo.messages.values()))
    assert cleo.messages[max(cleo.messages)]["raw"] == "Only Bo and moderators can do that."
    await bo.do("press", message=message["id"], custom_id=button["custom_id"])
    await bo.reply("-# Stopped by Bo.")
    await asyncio.sleep(0)
    assert not any(each["ephemeral"] for each in bo.messages.values())
