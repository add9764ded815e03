"""Commands, buttons and forms, from the person's side to the bot and back."""

from __future__ import annotations

from typing import Any

import discord
import pytest
from discord import app_commands

from bot.standin.entities import MessageType
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
    # An ephemeral answer stands in nobody else's channel.
    assert standin.messages(standin.general) == echo.followups

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


async def test_a_context_menu_brings_the_content_along(standin: DiscordStandin, client: Client) -> None:
    command(client)
    await client.tree.sync()
    said = await standin.say(standin.general, standin.bo, "no mention in here")
    used = await standin.context_menu(standin.cleo, "Read this", said, standin.general)
    assert (await used.answered()).content == "It says: no mention in here"
    assert not used.ephemeral


async def test_a_malformed_command_is_refused(standin: DiscordStandin, client: Client) -> None:
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


async def test_an_answer_comes_once_and_in_time(
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
