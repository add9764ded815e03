"""Commands, buttons and forms, from the person's side to the bot and back."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import aiohttp
import discord
import pytest
from discord import app_commands

from bot.standin.entities import Attachment, Channel, ChannelType, MessageType, Permission
from bot.standin.interactions import Callback
from bot.standin.server import DiscordStandin
from tests.standin.conftest import Client, text_channel

Interaction = discord.Interaction[Client]


def command(client: Client) -> None:
    @client.tree.command(description="Says it back")
    async def echo(interaction: Interaction, text: str, to: discord.User | None = None) -> None:
        await interaction.response.send_message(f"{text} {to.mention if to else ''}", ephemeral=True)
        await interaction.followup.send("and again")

    @client.tree.command(description="Takes its time")
    @app_commands.default_permissions(manage_guild=True)
    async def slow(interaction: Interaction) -> None:
        await interaction.response.defer(ephemeral=True)
        assert interaction.permissions.manage_guild
        await interaction.edit_original_response(content="done")

    @client.tree.context_menu(name="Read this")
    async def read_this(interaction: Interaction, message: discord.Message) -> None:
        await interaction.response.send_message(f"It says: {message.content}")


async def test_file_comes_with_a_command(standin: DiscordStandin, client: Client) -> None:
    @client.tree.command(description="Looks at it")
    async def look(interaction: Interaction, at: discord.Attachment) -> None:
        await interaction.response.defer(thinking=True)
        await interaction.delete_original_response()
        await interaction.followup.send(f"{at.filename}: {at.size}", ephemeral=True)

    await client.tree.sync()
    with pytest.raises(ValueError, match="at"):
        await standin.slash(standin.bo, standin.general, "look", at="a.txt")
    used = await standin.slash(standin.bo, standin.general, "look", at=Attachment("a.txt", b"three"))
    await standin.wait_for(lambda: used.followups)
    # What follows a deferred answer that was deleted is a message of its own.
    assert [(each.content, each.ephemeral) for each in used.followups] == [("a.txt: 5", True)]
    assert standin.messages(standin.general) == []


async def test_commands_are_synced_and_answered(standin: DiscordStandin, client: Client) -> None:
    command(client)
    synced = await client.tree.sync()
    assert [each.name for each in synced] == ["echo", "slow", "Read this"]
    again = await client.tree.sync()
    assert [each.id for each in again] == [each.id for each in synced]
    assert standin.commands.puts == 2

    echo = await standin.slash(standin.bo, standin.general, "echo", text="hello", to=standin.cleo)
    answer = await echo.answered()
    assert (answer.content, echo.ephemeral) == (f"hello {standin.cleo.mention}", True)
    await standin.wait_for(lambda: echo.followups)
    assert [(m.content, m.type) for m in echo.followups] == [("and again", MessageType.SLASH_COMMAND)]
    # An ephemeral answer stands in nobody else's channel. The bot hears of it as of a direct message.
    assert standin.messages(standin.general) == echo.followups
    await client.until(lambda: client.count("message") == 2)
    told = [args[0] for event, args in client.events if event == "message"]
    assert [(each.id, each.flags.ephemeral, each.guild is None) for each in told] == [
        (answer.id, True, True),
        (echo.followups[0].id, False, False),
    ]

    slow = await standin.slash(standin.max, standin.general, "slow")
    assert (await slow.answered()).content == "done"
    assert slow.deferred
    assert slow.callback is Callback.DEFERRED_MESSAGE
    with pytest.raises(LookupError):
        await standin.slash(standin.bo, standin.general, "slow")
    with pytest.raises(LookupError):
        await standin.slash(standin.bo, standin.general, "echo")
    in_dm = await standin.slash(standin.bo, standin.open_dm(standin.bo), "echo", text="psst")
    assert (await in_dm.answered()).content == "psst"


async def test_context_menu_brings_the_content(standin: DiscordStandin, client: Client) -> None:
    command(client)
    await client.tree.sync()
    said = await standin.say(standin.general, standin.bo, "no mention in here")
    used = await standin.context_menu(standin.cleo, "Read this", said, standin.general)
    assert (await used.answered()).content == "It says: no mention in here"
    assert not used.ephemeral


async def test_malformed_command_is_refused(standin: DiscordStandin, client: Client) -> None:
    with pytest.raises(discord.HTTPException) as refused:
        await client.http.bulk_upsert_global_commands(
            standin.bot.id, [{"name": "Not Lower", "description": "", "type": 1}]
        )
    assert refused.value.code == 50035
    assert "0.name" in str(refused.value)
    assert standin.commands.registered(None) == []


class Buttons(discord.ui.View):
    def __init__(self) -> None:
        super().__init__(timeout=None)

    @discord.ui.button(label="Stop", custom_id="stop")
    async def stop_it(self, interaction: Interaction, button: discord.ui.Button[Buttons]) -> None:
        button.disabled = True
        await interaction.response.edit_message(content="stopped", view=self)

    @discord.ui.button(label="Wait", custom_id="wait")
    async def wait_for_it(self, interaction: Interaction, button: discord.ui.Button[Buttons]) -> None:
        await interaction.response.defer()
        await interaction.followup.send("only for you", ephemeral=True)

    @discord.ui.button(label="Ask", custom_id="ask")
    async def ask(self, interaction: Interaction, button: discord.ui.Button[Buttons]) -> None:
        await interaction.response.send_modal(Form())


class Form(discord.ui.Modal, title="Why?"):
    reason = discord.ui.TextInput["Form"](label="Reason", custom_id="reason")

    async def on_submit(self, interaction: discord.Interaction[Any]) -> None:
        await interaction.response.send_message(f"because {self.reason.value}", ephemeral=True)


async def test_buttons_and_forms(standin: DiscordStandin, client: Client) -> None:
    await text_channel(client, standin.general).send("running", view=Buttons())
    (message,) = standin.bot_messages(standin.general)
    assert [button["label"] for button in message.buttons] == ["Stop", "Wait", "Ask"]

    wait = await standin.press(standin.bo, message, "wait")
    await standin.wait_for(lambda: wait.followups)
    assert (wait.followups[0].content, wait.followups[0].ephemeral) == ("only for you", True)

    ask = await (await standin.press(standin.cleo, message, "ask")).acknowledged()
    told = await (await standin.submit(ask, reason="I can")).answered()
    assert (told.content, told.ephemeral) == ("because I can", True)

    stop = await standin.press(standin.bo, message, "stop")
    assert await stop.answered() is message
    assert message.content == "stopped"
    with pytest.raises(LookupError):
        await standin.press(standin.bo, message, "stop")
    assert standin.messages(standin.general) == [message]


async def test_interaction_is_answered_once_and_in_time(
    standin: DiscordStandin, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    codes: list[int] = []

    @client.tree.command(description="Answers twice")
    async def twice(interaction: Interaction) -> None:
        await interaction.response.send_message("one")
        other = discord.InteractionResponse(interaction)
        with pytest.raises(discord.HTTPException) as refused:
            await other.send_message("two")
        codes.append(refused.value.code)
        standin.world.changed()

    @client.tree.command(description="Answers too late")
    async def late(interaction: Interaction) -> None:
        clock = standin.world.clock
        monkeypatch.setattr(standin.world, "clock", lambda: clock() + 3.1)
        with pytest.raises(discord.NotFound) as refused:
            await interaction.response.send_message("sorry")
        codes.append(refused.value.code)
        standin.world.changed()

    await client.tree.sync()
    await (await standin.slash(standin.bo, standin.general, "twice")).answered()
    await standin.wait_for(lambda: codes)
    missed = await standin.slash(standin.bo, standin.general, "late")
    await standin.wait_for(lambda: len(codes) == 2)
    assert codes == [40060, 10062]
    assert missed.content is None


async def test_completion_returns_choices(standin: DiscordStandin, client: Client) -> None:
    asked: list[tuple[str, Any]] = []
    group = app_commands.Group(name="tea", description="Of tea")

    @group.command(description="Brews")
    async def brew(interaction: Interaction, sort: str, cups: app_commands.Range[int, 1, 9] = 1) -> None:
        await interaction.response.send_message(f"{cups} of {sort}")

    @brew.autocomplete("sort")
    async def sorts(interaction: Interaction, typed: str) -> list[app_commands.Choice[str]]:
        asked.append((typed, interaction.namespace.cups))
        many = 26 if typed == "many" else 2
        return [app_commands.Choice(name=f"{typed}{number}", value=str(number)) for number in range(many)]

    client.tree.add_command(group)
    await client.tree.sync()
    typing = await standin.complete(standin.bo, standin.general, "tea brew", focused="sort", sort="gr", cups=3)
    await typing.acknowledged()
    assert typing.choices == [{"name": "gr0", "value": "0"}, {"name": "gr1", "value": "1"}]
    assert asked == [("gr", 3)]
    await (await standin.complete(standin.bo, standin.general, "tea brew", focused="sort")).acknowledged()
    assert asked[1] == ("", None)
    many = await standin.complete(standin.bo, standin.general, "tea brew", focused="sort", sort="many")
    await standin.wait_for(lambda: standin.requests[-1].status == 400)
    assert (standin.requests[-1].code, many.choices) == (50035, None)
    with pytest.raises(LookupError):
        await standin.complete(standin.bo, standin.general, "tea brew", focused="cups")
    brewed = await standin.slash(standin.bo, standin.general, "tea brew", sort="1", cups=9)
    assert (await brewed.answered()).content == "9 of 1"


class Everything(app_commands.Group):
    def __init__(self) -> None:
        super().__init__(name="all", description="All kinds of options")

    @app_commands.command(description="Says what it was given")
    @app_commands.choices(sort=[app_commands.Choice(name="Green", value="green")])
    async def of(
        self,
        interaction: Interaction,
        who: discord.User,
        where: discord.TextChannel | discord.CategoryChannel | None = None,
        role: discord.Role | None = None,
        count: app_commands.Range[int, 1, 5] | None = None,
        word: app_commands.Range[str, 2, 4] | None = None,
        sort: str | None = None,
        really: bool | None = None,
    ) -> None:
        named = [each and each.id for each in (who, where, role)]
        member = isinstance(who, discord.Member) and who.guild_permissions.manage_guild
        await interaction.response.send_message(f"{[*named, count, word, sort, really, member]}")


async def test_options_of_every_kind(standin: DiscordStandin, client: Client) -> None:
    client.tree.add_command(Everything())
    await client.tree.sync()
    corner = standin.add_category("corner")
    thread = await standin.open_thread(standin.general, "a thread", standin.bo)
    gone = standin.world.add_user("gone")

    async def said(**options: Any) -> str | None:
        used = await standin.slash(standin.bo, standin.general, "all of", **options)
        return (await used.answered()).content

    given = {"count": 5, "word": "tea", "sort": "green", "really": False}
    assert await said(who=standin.max, where=corner, role=standin.moderators, **given) == str(
        [standin.max.id, corner.id, standin.moderators.id, 5, "tea", "green", False, True]
    )
    # Who has left the server is found by their id, and is no member.
    assert await said(who=gone.id) == str([gone.id, *[None] * 6, False])

    hidden = standin.add_channel("hidden")
    standin.deny(hidden, Permission.VIEW_CHANNEL, standin.guild.everyone)
    elsewhere = standin.add_channel("elsewhere", standin.add_guild("Elsewhere"))
    for option, wrong in (
        *(("where", each) for each in (thread, hidden, elsewhere, standin.open_dm(standin.bo), "general")),
        *(("count", each) for each in (0, 6, True, "3", 2.0)),
        *(("word", each) for each in ("t", "coffee", 7)),
        *(("sort", "black"), ("really", "yes"), ("role", standin.bo), ("who", standin.moderators)),
    ):
        with pytest.raises(ValueError, match=f"^{option} does not take"):
            await said(**{"who": standin.max, option: wrong})
    for missing in ({}, {"who": 4}, {"who": standin.max, "color": 1}):
        with pytest.raises(LookupError):
            await said(**missing)
    for name in ("all", "all off", "all of them"):
        with pytest.raises(LookupError):
            await standin.slash(standin.bo, standin.general, name)


async def test_category_holds_channels(standin: DiscordStandin, client: Client) -> None:
    corner = standin.add_category("corner")
    standin.deny(corner, Permission.SEND_MESSAGES)
    quiet = standin.add_channel("quiet", category=corner)
    standin.allow(corner, Permission.NONE)

    def seen(channel: Channel) -> Any:
        return client.get_channel(channel.id)

    await client.until(lambda: seen(quiet) and seen(corner).overwrites_for(seen(corner).guild.me).is_empty())
    assert seen(quiet).category == seen(corner)
    assert seen(corner).type.value == ChannelType.CATEGORY
    # A channel begins with its category's overwrites; what the category has later is its own.
    assert not seen(quiet).permissions_for(seen(quiet).guild.me).send_messages
    with pytest.raises(discord.Forbidden):
        await seen(quiet).send("hello")
    standin.world.delete_channel(corner)
    await client.until(lambda: seen(corner) is None and seen(quiet).category_id is None)


async def test_who_finds_a_command(standin: DiscordStandin, client: Client) -> None:
    @client.tree.command(description="For moderators")
    @app_commands.default_permissions(manage_guild=True)
    @app_commands.guild_only()
    async def moderate(interaction: Interaction) -> None: ...

    @client.tree.command(description="For administrators")
    @app_commands.default_permissions()
    async def administer(interaction: Interaction) -> None: ...

    @client.tree.command(description="For everybody")
    async def use(interaction: Interaction) -> None: ...

    await client.tree.sync()
    ada, max_, bo, cleo = standin.ada, standin.max, standin.bo, standin.cleo
    root = standin.add_role("Root", Permission.ADMINISTRATOR)

    def found(channel: Channel = standin.general) -> list[str]:
        """For each command those who find it."""
        people = {"ada": ada, "max": max_, "bo": bo, "cleo": cleo}
        names = {
            name: {each["name"] for each in standin.visible_commands(who, channel)} for name, who in people.items()
        }
        return [
            " ".join(who for who in names if command in names[who]) for command in ("moderate", "administer", "use")
        ]

    assert found() == ["ada max", "ada", "ada max bo cleo"]
    assert {each["name"] for each in standin.visible_commands(bo, standin.open_dm(bo))} == {"administer", "use"}
    standin.member(cleo).roles.append(root)
    assert found() == ["ada max cleo", "ada cleo", "ada max bo cleo"]

    # The server's settings stand above what the bot asked for, a person above their roles, these above @everyone.
    standin.permit("moderate", standin.guild.everyone, True)
    standin.permit("use", standin.guild.everyone, False)
    assert found() == ["ada max bo cleo", "ada cleo", "ada cleo"]
    standin.permit("moderate", standin.moderators, False)
    standin.permit("use", standin.moderators, True)
    standin.permit("administer", bo, True)
    assert found() == ["ada bo cleo", "ada bo cleo", "ada max cleo"]
    # Of several roles one that may is enough.
    standin.member(bo).roles.extend([standin.moderators, helpers := standin.add_role("Helpers")])
    standin.permit("moderate", helpers, True)
    assert found() == ["ada bo cleo", "ada bo cleo", "ada max bo cleo"]
    standin.member(bo).roles.clear()
    standin.permit("moderate", max_, True)
    assert found() == ["ada max bo cleo", "ada bo cleo", "ada max cleo"]
    await client.until(lambda: client.count("raw_app_command_permissions_update") == 7)

    standin.deny(standin.random_channel, Permission.USE_APPLICATION_COMMANDS, standin.guild.everyone)
    assert found(standin.random_channel) == ["ada cleo"] * 3
    with pytest.raises(LookupError):
        standin.permit("nothing", bo, True)


class Persona(discord.ui.Modal, title="How I behave here"):
    text = discord.ui.TextInput["Persona"](
        label="In your words",
        custom_id="text",
        style=discord.TextStyle.paragraph,
        default="You are a pirate.",
        min_length=3,
        max_length=4000,
    )
    why = discord.ui.Label["Persona"](
        text="Why", component=discord.ui.TextInput["Persona"](custom_id="why", required=False)
    )

    async def on_submit(self, interaction: discord.Interaction[Any]) -> None:
        assert isinstance(self.why.component, discord.ui.TextInput)
        # A form is no answer to a form.
        with pytest.raises(discord.HTTPException, match="50035"):
            await interaction.response.send_modal(Persona())
        said = f"{self.text.value[:20]} ({len(self.text.value)}){self.why.component.value}"
        if interaction.message is None:
            await interaction.response.send_message(said, ephemeral=True)
        else:
            await interaction.response.edit_message(content=said, view=None)


class Ask(discord.ui.View):
    def __init__(self) -> None:
        super().__init__(timeout=None)

    @discord.ui.button(label="Write", custom_id="write")
    async def write(self, interaction: discord.Interaction[Any], button: discord.ui.Button[Ask]) -> None:
        await interaction.response.send_modal(Persona())


async def test_form_is_prefilled_checked_and_answered(standin: DiscordStandin, client: Client) -> None:
    @client.tree.command(description="Opens a form")
    async def persona(interaction: Interaction) -> None:
        await interaction.response.send_modal(Persona())

    @client.tree.command(description="Asks with a button")
    async def ask(interaction: Interaction) -> None:
        await interaction.response.send_message("Write it?", view=Ask(), ephemeral=True)

    await client.tree.sync()
    opened = await (await standin.slash(standin.bo, standin.general, "persona")).acknowledged()
    kept = await (await standin.submit(opened)).answered()
    assert (kept.content, kept.ephemeral) == ("You are a pirate. (17)", True)
    opened = await (await standin.slash(standin.bo, standin.general, "persona")).acknowledged()
    for wrong in ({"text": ""}, {"text": "no"}, {"text": "x" * 4001}):
        with pytest.raises(ValueError, match="takes 3 to 4000 characters"):
            await standin.submit(opened, **wrong)
    with pytest.raises(LookupError):
        await standin.submit(opened, name="x")
    long = await (await standin.submit(opened, text="é" * 4000, why="so")).answered()
    assert long.content == f"{'é' * 20} (4000)so"

    # From a button the form's answer may change the message that it stands on, also where one person sees that alone.
    asked = await (await standin.slash(standin.bo, standin.general, "ask")).answered()
    pressed = await (await standin.press(standin.bo, asked, "write")).acknowledged()
    sent = await standin.submit(pressed, text="Be brief.")
    await sent.answered()
    assert (asked.content, asked.buttons, asked.ephemeral) == ("Be brief. (9)", [], True)
    assert standin.messages(standin.general) == []


FORM: dict[str, Any] = {"title": "T", "custom_id": "c", "components": []}
FIELD: dict[str, Any] = {"type": 4, "custom_id": "f", "style": 1, "label": "L"}


def rows(*fields: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"type": 1, "components": [field]} for field in fields]


FORMS: list[tuple[str, dict[str, Any]]] = [
    ("data.title", {"title": "x" * 46, "components": rows(FIELD)}),
    ("data.custom_id", {"custom_id": "", "components": rows(FIELD)}),
    ("data.components", {"components": []}),
    ("data.components", {"components": rows(*(FIELD | {"custom_id": f"{n}"} for n in range(6)))}),
    ("data.components.0.components.0.label", {"components": rows(FIELD | {"label": "x" * 46})}),
    ("data.components.0.components.0.value", {"components": rows(FIELD | {"value": "x" * 4001})}),
    ("data.components.0.components.0.max_length", {"components": rows(FIELD | {"min_length": 5, "max_length": 4})}),
    ("data.components.1.components.0.custom_id", {"components": rows(FIELD, FIELD)}),
    ("data.components.0.label", {"components": [{"type": 18, "component": FIELD}]}),
    ("data.components.0.component.type", {"components": [{"type": 18, "label": "L", "component": {"type": 2}}]}),
    ("data.components.0.type", {"components": [FIELD]}),
]


async def test_malformed_form_is_refused(standin: DiscordStandin, client: Client) -> None:
    refused: list[str] = []

    @client.tree.command(description="Tries forms")
    async def forms(interaction: Interaction) -> None:
        callback = discord.http.Route(
            "POST",
            "/interactions/{webhook_id}/{webhook_token}/callback",
            webhook_id=interaction.id,
            webhook_token=interaction.token,
        )
        for _, form in FORMS:
            with pytest.raises(discord.HTTPException) as error:
                await client.http.request(callback, json={"type": 9, "data": {**FORM, **form}})
            assert error.value.code == 50035
            refused.append(str(error.value))
        await interaction.response.send_message("all refused")

    await client.tree.sync()
    used = await standin.slash(standin.bo, standin.general, "forms")
    assert (await used.answered()).content == "all refused"
    assert [path in text for (path, _), text in zip(FORMS, refused, strict=True)] == [True] * len(FORMS)


async def test_private_answers_carry_files_and_change(standin: DiscordStandin, client: Client) -> None:
    @client.tree.command(description="Hands out files")
    async def export(interaction: Interaction) -> None:
        await interaction.response.defer(ephemeral=True, thinking=True)
        await interaction.edit_original_response(content="Here.", attachments=[file("all.json", b"{}")])
        await interaction.followup.send("And this.", file=file("more.txt", b"more"), ephemeral=True)

    @client.tree.command(description="Says and takes back")
    async def brief(interaction: Interaction) -> None:
        await interaction.response.send_message("now", file=file("a.txt", b"a"), ephemeral=True)
        await interaction.edit_original_response(attachments=[])
        await interaction.delete_original_response()
        with pytest.raises(discord.NotFound):
            await interaction.edit_original_response(content="too late")
        standin.world.changed()

    await client.tree.sync()
    used = await standin.slash(standin.bo, standin.general, "export")
    await standin.wait_for(lambda: used.followups)
    answer, (more,) = await used.answered(), used.followups
    assert [(each.filename, each.data) for each in answer.attachments] == [("all.json", b"{}")]
    assert [(each.filename, each.data, more.ephemeral) for each in more.attachments] == [("more.txt", b"more", True)]
    async with aiohttp.ClientSession() as anybody, anybody.get(answer.attachments[0].url) as got:
        assert await got.read() == b"{}"

    brief_one = await (await standin.slash(standin.bo, standin.general, "brief")).acknowledged()
    await standin.wait_for(lambda: brief_one.response is not None and brief_one.response.deleted)
    assert brief_one.response is not None
    assert brief_one.response.attachments == []
    assert standin.messages(standin.general) == []


def file(name: str, data: bytes) -> discord.File:
    return discord.File(BytesIO(data), name)


class Words(discord.ui.Select[discord.ui.View]):
    def __init__(self, chosen: list[object]) -> None:
        super().__init__(custom_id="words", options=[discord.SelectOption(label="One", value="1", default=True)])
        self.chosen = chosen

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        self.chosen += self.values
        await interaction.response.edit_message(content="words")


class Channels(discord.ui.ChannelSelect[discord.ui.View]):
    def __init__(self, chosen: list[object]) -> None:
        super().__init__(custom_id="channels", channel_types=[discord.ChannelType.text])
        self.chosen = chosen

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        self.chosen += [each.id for each in self.values]
        await interaction.response.edit_message(content="channels")


async def test_selects_give_what_was_chosen_of_what_they_offer(standin: DiscordStandin, client: Client) -> None:
    chosen: list[object] = []

    @client.tree.command(description="Offers")
    async def offer(interaction: Interaction) -> None:
        view = discord.ui.View().add_item(Words(chosen)).add_item(Channels(chosen))
        await interaction.response.send_message("Choose", view=view, ephemeral=True)

    await client.tree.sync()
    used = await standin.slash(standin.bo, standin.general, "offer")
    message = await used.answered()
    for custom_id, value in (("words", "1"), ("channels", str(standin.random_channel.id))):
        await (await standin.choose(standin.bo, message, custom_id, value)).acknowledged()
    assert chosen == ["1", standin.random_channel.id]
    elsewhere = standin.add_channel("lobby", standin.add_guild("Elsewhere"))
    refused: list[tuple[str, tuple[str, ...]]] = [
        ("words", ("2",)),
        ("words", ()),
        ("channels", (str(elsewhere.id),)),
        ("channels", (str(standin.general.id), str(standin.random_channel.id))),
    ]
    for custom_id, values in refused:
        with pytest.raises(ValueError, match=custom_id):
            await standin.choose(standin.bo, message, custom_id, *values)
