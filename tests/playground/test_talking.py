from __future__ import annotations

import asyncio
import json
import re
from itertools import pairwise

import pytest

from bot.standin.model import ModelStandin
from bot.standin.script import Reply
from tests.pictures import png
from tests.playground.conftest import Home, Json, Tab

pytestmark = pytest.mark.virtual_time


def mention(tab: Tab) -> str:
    return f"<@{tab.id_of('Parley')}>"


async def test_mention_streams_into_every_tab(home: Home, model: ModelStandin) -> None:
    model.script.append(Reply("word " * 150 + "**end**", tokens_per_second=100, first_token_after=0.3))
    tab, other = await home.tab(), await home.tab("Bo")
    await tab.say(f"{mention(tab)} tell me")
    await other.until(lambda: "typing" in other.latest)
    assert other.latest["typing"]["names"] == ["Parley"]
    for each in (tab, other):
        await each.reply("**end**")
    growing = [
        message["raw"]
        for frame in other.frames
        if frame["t"] == "messages"
        for message in frame["list"]
        if message["author"]["bot"]
    ]
    assert len(growing) >= 3
    assert all(len(before) <= len(after) for before, after in pairwise(growing))
    message = await other.reply("end")
    assert "<strong>end</strong>" in message["html"]
    assert message["reply"]["author"]["name"] == "Ada"
    assert model.requests[0].messages[-1]["content"].endswith("tell me")


async def test_reload_restores_everything(home: Home, model: ModelStandin) -> None:
    tab = await home.tab()
    await tab.say(f"{mention(tab)} repeat again and again")
    await tab.reply("offline demo")
    for number in range(60):
        await tab.say(f"note {number}")
    shown = tab.messages
    await tab.close()
    again = await home.tab()
    assert again.latest["opened"]["more"]
    assert list(again.messages.values()) == list(shown.values())[-50:]
    older = await again.do("older", channel=again.channel, before=next(iter(again.messages)))
    assert [*older["messages"], *again.messages.values()] == list(shown.values())
    assert not older["more"]
    assert any(each["text"].startswith("ask, reset, stop, ") for each in again.wire.values())


async def test_direct_message_is_for_two(home: Home) -> None:
    ada, bo = await home.tab(channel="Parley"), await home.tab("Bo", channel="Parley")
    await ada.say("repeat a secret")
    await ada.reply("a secret")
    assert bo.messages == {}
    theirs = ada.channel
    asked: list[tuple[str, dict[str, object]]] = [
        ("open", {}),
        ("older", {"before": "9" * 19}),
        ("typing", {}),
        ("archive", {"archived": True}),
    ]
    asked += [("say", {"content": "hi", "reply_to": None, "ping": True, "files": []})]
    asked += [("slash", {"command": "reset", "options": {}}), ("thread", {"message": None, "name": "x"})]
    asked += [("fault", {"name": "rest_delete", "on": True})]
    for do, what in asked:
        assert await bo.refused(do, channel=theirs, **what) == "This person cannot see that channel."
    for do in ("edit", "delete", "react", "press"):
        more = {"content": "x", "emoji": "👍", "custom_id": "x"}
        assert await bo.refused(do, message=next(iter(ada.messages)), **more) == "That message is gone."
    shown = [frame for frame in bo.frames if frame["t"] in ("opened", "messages")]
    assert "a secret" not in json.dumps(shown)


async def test_changes_reach_the_others(home: Home) -> None:
    bo, max_ = await home.tab("Bo"), await home.tab("Max")
    message = await bo.say("teh tea")
    reply = await max_.say("what?", reply_to=message["id"])
    await bo.do("edit", message=message["id"], content="the tea <b>")
    await max_.shows(message, "edited", True)
    assert max_.messages[message["id"]]["html"] == "the tea &lt;b&gt;"
    await max_.do("react", message=message["id"], emoji="👍")
    await bo.do("react", message=message["id"], emoji="👍")
    await max_.until(lambda: max_.messages[message["id"]]["reactions"])
    await bo.do("unreact", message=message["id"], emoji="👍")
    assert bo.messages[message["id"]]["reactions"][0]["users"] == [bo.id_of("Max")]
    await max_.do("delete", message=message["id"])
    await bo.gone(message["id"])
    await bo.do("open", channel=bo.channel)
    assert bo.messages[reply["id"]]["reply"]["gone"]
    assert "tea" not in str(bo.messages)


async def test_thread_is_a_separate_place(home: Home) -> None:
    tab = await home.tab("Bo")
    message = await tab.say("let us talk about tea")
    thread = (await tab.do("thread", channel=tab.channel, message=message["id"], name="Tea"))["channel"]
    assert tab.messages[message["id"]]["thread"]["name"] == "Tea"
    await tab.do("open", channel=thread)
    assert next(iter(tab.messages.values()))["reply"]["html"] == "let us talk about tea"
    await tab.say(f"{mention(tab)} repeat in here")
    await tab.reply("in here")
    await tab.do("archive", channel=thread, archived=True)
    place = next(each for each in tab.latest["places"]["channels"] if each["id"] == thread)
    assert (place["kind"], place["archived"], place["parent"]) == ("thread", True, message["channel"])
    first = next(reversed(tab.messages))
    assert await tab.refused("react", message=first, emoji="👍") == (
        "This thread is archived. Write in it to open it again."
    )
    await tab.say("open again")
    await tab.do("open", channel=message["channel"])
    await tab.until(lambda: tab.messages[message["id"]]["thread"]["count"] == 3)


async def test_sender_learns_whether_the_bot_is_addressed(home: Home) -> None:
    tab = await home.tab()
    role = next(each["id"] for each in tab.latest["hello"]["roles"] if each["name"] == "Parley")
    await tab.say(f"{mention(tab)} hello")
    reply = await tab.reply("Hello!")
    said: Json = {"channel": tab.channel, "reply_to": None, "ping": True, "files": []}
    for heard, what in (
        (False, {"content": "hello"}),
        (False, {"content": f"`{mention(tab)}`"}),
        (False, {"content": "@everyone hello"}),
        (False, {"content": f"<@{tab.id_of('Bo')}> hello"}),
        (True, {"content": f"hello {mention(tab)}"}),
        (True, {"content": f"<@&{role}> hello"}),
        (True, {"content": "hello", "reply_to": reply["id"]}),
        (False, {"content": "hello", "reply_to": reply["id"], "ping": False}),
        (True, {"content": "hello", "channel": tab.place("Parley")}),
    ):
        assert (await tab.do("say", **{**said, **what}))["heard"] is heard, what


REFUSALS: list[tuple[str, dict[str, object], str]] = [
    ("say", {"content": "x" * 2001}, "That is 2001 characters. Discord allows 2000. Make it shorter."),
    ("say", {"content": " \n "}, "Write something or attach a file first."),
    ("say", {"content": 7}, "Something is wrong with this page. Reload it."),
    ("say", {"content": "hi", "files": ["x"] * 11}, "A message can have up to 10 files."),
    ("say", {"content": "hi", "files": ["x"]}, "An attached file is gone. Attach it again."),
    ("say", {"content": "hi", "files": [["x"]]}, "Something is wrong with this page. Reload it."),
    ("say", {"content": "hi", "reply_to": "1"}, "That message is gone."),
    ("say", {"content": "hi", "channel": "1"}, "This person cannot see that channel."),
    ("say", {"content": "hi", "channel": None}, "Something is wrong with this page. Reload it."),
    ("say", {"content": "hi", "channel": "٣"}, "Something is wrong with this page. Reload it."),
    ("edit", {"content": "mine now"}, "Only its author can edit a message."),
    ("delete", {}, "Only its author and moderators can delete a message."),
    ("react", {"emoji": "thumbs up"}, "That isn't an emoji."),
    ("react", {"emoji": ""}, "Unknown Emoji."),
    ("thread", {"name": " "}, "Give the thread a name"),
    ("thread", {"name": "x" * 101}, "Give the thread a name"),
    ("press", {"custom_id": "x"}, "That doesn't exist any more."),
    ("choose", {"custom_id": "x", "values": ["y"]}, "That doesn't exist any more."),
    ("submit", {"form": "1", "fields": {}}, "That doesn't exist any more."),
    ("slash", {"command": "nothing", "options": {}}, "This person can't use /nothing in this channel."),
    ("slash", {"command": "reset", "options": {"x": "y"}}, "Something is wrong with this page. Reload it."),
    ("slash", {"command": "reset", "options": []}, "Something is wrong with this page. Reload it."),
    ("menu", {"command": "x", "user": None}, "That doesn't exist any more."),
    ("fault", {"name": "x", "on": True}, "That switch does nothing here."),
    ("fault", {"name": "rest_delete", "on": True}, "That switch does nothing here."),
    ("fault", {"name": "rest_slow", "on": "yes"}, "Something is wrong with this page. Reload it."),
    ("as", {"user": "1"}, "There is nobody with that name here."),
    ("do", {}, "Something is wrong with this page. Reload it."),
]


async def test_impossible_action_is_one_sentence(home: Home) -> None:
    ada, bo = await home.tab(), await home.tab("Bo")
    message = await ada.say("Ada's")
    rest = {"channel": bo.channel, "message": message["id"], "reply_to": None, "ping": True, "files": []}
    for do, what, sentence in REFUSALS:
        assert (await bo.refused(do, **{**rest, **what})).startswith(sentence), (do, what)
    assert await bo.say("still well")


async def test_half_a_character_is_repaired(home: Home) -> None:
    tab = await home.tab()
    content = f"{mention(tab)} repeat \ud800!"
    await tab.do("say", channel=tab.channel, content=content, reply_to=None, ping=True, files=[])
    said, *_ = tab.messages.values()
    assert said["raw"] == content.replace("\ud800", "\ufffd")
    assert (await tab.reply("offline demo"))["raw"].startswith("\ufffd!")


async def test_forty_changes_are_few_frames(home: Home) -> None:
    tab, watcher = await home.tab(), await home.tab("Bo")
    message = await tab.say("0")
    before = len(watcher.frames)
    for number in range(1, 41):
        await tab.socket.send_json({"n": None, "do": "edit", "message": message["id"], "content": str(number)})
    await watcher.shows(message, "raw", "40")
    frames = [frame for frame in watcher.frames[before:] if frame["t"] == "messages"]
    assert len(frames) < 20


async def test_scripts_are_text_in_every_field(home: Home) -> None:
    tab = await home.tab()
    script = "<img src=x onerror=alert(1)>"
    message = await tab.say(
        f"{script} [{script}](javascript:alert(1)) <https://x.example/{script}> ```{script}\n{script}```"
    )
    await tab.do("thread", channel=tab.channel, message=message["id"], name=script)
    await tab.do("react", message=message["id"], emoji="👍")
    await asyncio.sleep(0)
    for each in tab.messages.values():
        html = each["html"] + str(each["reply"]) + "".join(part["html"] for part in each["reactions"])
        assert "<img" not in html
        assert not re.search(r'href="(?!https?://)', html)


@pytest.mark.real_time("a process reads the picture")
async def test_picture_is_shown_to_the_demo_which_says_so_later_too(home: Home) -> None:
    tab = await home.tab(channel="Parley")
    await tab.say("What is it?", files=[await home.upload("cat.png", "image/png", png(64, 48))])
    await tab.reply("I was shown cat.png (64 × 48).")
    await tab.say("hello")
    await tab.reply("Hello!")
    await tab.say("what did I show you?")
    await tab.reply("I was shown cat.png (64 × 48).")
