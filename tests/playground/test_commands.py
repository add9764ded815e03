"""Commands with choices and forms, as the page asks for them."""

from __future__ import annotations

from tests.playground.conftest import Home, Json, Tab


def names(tab: Tab) -> set[str]:
    return {each["name"] for each in tab.latest["commands"]["list"]}


async def choices(tab: Tab, command: str, option: str, typed: str) -> list[str]:
    asked = {"channel": tab.channel, "command": command, "option": option, "options": {option: typed}}
    return [each["value"] for each in (await tab.do("complete", **asked))["choices"]]


async def use(tab: Tab, command: str, **options: str) -> None:
    await tab.do("slash", channel=tab.channel, command=command, options=options)


async def form_of(tab: Tab) -> Json:
    """Use /persona and press its first button; the form that opens."""
    tab.latest.pop("modal", None)
    await use(tab, "persona")
    await tab.until(lambda: any(each["rows"] for each in tab.messages.values()))
    message = next(each for each in reversed(tab.messages.values()) if each["rows"])
    await tab.do("press", message=message["id"], custom_id=message["rows"][0][0]["custom_id"])
    await tab.until(lambda: "modal" in tab.latest)
    return tab.latest["modal"]


async def test_everybody_finds_their_commands(home: Home) -> None:
    bo, max_ = await home.tab("Bo"), await home.tab("Max")
    await max_.until(lambda: {"help", "block", "server", "model"} <= names(max_))
    await bo.until(lambda: "help" in names(bo))
    assert names(bo) < names(max_)
    assert not {"block", "server", "model"} & names(bo)
    block = next(each for each in max_.latest["commands"]["list"] if each["name"] == "block")
    assert [(each["name"], each["type"], each["required"]) for each in block["options"]] == [
        ("member", "user", True),
        ("hours", "integer", False),
    ]
    asked = {"channel": bo.channel, "command": "block", "options": {"member": bo.id_of("Cleo")}}
    assert await bo.refused("slash", **asked) == "This person can't use /block in this channel."
    assert await bo.refused("complete", option="member", **asked) == ("This person can't use /block in this channel.")
    await max_.do("open", channel=max_.place("Parley"))
    await max_.until(lambda: "block" not in names(max_) and "help" in names(max_))


async def test_bot_completes_an_option(home: Home) -> None:
    max_, bo = await home.tab("Max"), await home.tab("Bo")
    await max_.until(lambda: "model" in names(max_))
    assert {"test", "test-large"} <= set(await choices(max_, "model", "name", ""))
    assert await choices(max_, "model", "name", "large") == ["test-large"]
    # What is offered is for the person who types.
    assert await choices(max_, "usage", "whose", "") == ["mine", "server"]
    assert await choices(bo, "usage", "whose", "") == ["mine"]
    asked = {"channel": max_.channel, "command": "block", "options": {}}
    assert await max_.refused("complete", option="member", **asked) == "That doesn't exist any more."


async def test_prefilled_form_is_sent_once(home: Home) -> None:
    max_, cleo = await home.tab("Max"), await home.tab("Cleo")
    await max_.until(lambda: "persona" in names(max_))
    form = await form_of(max_)
    [field] = form["inputs"]
    assert (field["long"], field["value"], field["max"]) == (True, "", 4000)

    async def send(text: str) -> Json:
        return await max_.ask("submit", form=form["form"], fields={field["id"]: text})

    assert (await send("x" * 4001))["error"] == f"{field['label']} does not accept this value."
    assert (await send("You are a pirate."))["error"] is None
    await cleo.reply("Max changed how I behave here.")
    assert (await send("once more"))["error"] == "That doesn't exist any more."
    again = await form_of(max_)
    assert again["inputs"][0]["value"] == "You are a pirate."
    assert await cleo.refused("submit", form=again["form"], fields={}) == "That doesn't exist any more."


async def test_form_text_survives_an_unresponsive_bot(home: Home) -> None:
    max_ = await home.tab("Max")
    await max_.until(lambda: "persona" in names(max_))
    form = await form_of(max_)
    sent = {"form": form["form"], "fields": {form["inputs"][0]["id"]: "You are a pirate."}}
    await max_.do("fault", name="bot_away", on=True, channel=None)
    await max_.until(lambda: max_.latest["bot"]["state"] == "stopped")
    assert await max_.refused("submit", **sent) == "Something went wrong. Try again."
    await max_.do("fault", name="bot_away", on=False, channel=None)
    await max_.until(lambda: max_.latest["bot"]["state"] == "online")
    await max_.do("submit", **sent)
    await max_.reply("Max changed how I behave here.")


async def test_help_says_where_messages_go(home: Home) -> None:
    bo = await home.tab("Bo")
    await bo.until(lambda: "help" in names(bo))
    await use(bo, "help")
    assert "`test` (127.0.0.1)" in (await bo.reply("Your messages go"))["raw"]
