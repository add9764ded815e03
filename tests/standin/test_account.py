"""What the bot can ask about itself, its owner and its servers, and how it leaves one."""

from __future__ import annotations

import discord
import pytest

from bot.standin.server import DiscordStandin
from tests.standin.conftest import Client


async def test_team_owns_the_application(standin: DiscordStandin, client: Client) -> None:
    application = await client.application_info()
    assert (application.owner.id, application.team) == (standin.ada.id, None)
    eve = standin.world.add_user("eve", "Eve")
    team = standin.found_team("Crew", standin.max, standin.bo, invited=[eve])
    application = await client.application_info()
    assert application.team is not None
    assert (application.team.id, application.team.name, application.team.owner_id) == (team.id, "Crew", standin.max.id)
    assert application.owner.id == team.id, "the owner that Discord names then is nobody"
    accepted, invited = discord.TeamMembershipState.accepted, discord.TeamMembershipState.invited
    assert [(each.id, each.membership_state) for each in application.team.members] == [
        (standin.max.id, accepted),
        (standin.bo.id, accepted),
        (eve.id, invited),
    ]


async def test_members_can_be_looked_up(standin: DiscordStandin, client: Client) -> None:
    stranger = standin.world.add_user("eve", "Eve")
    guild = client.get_guild(standin.guild.id)
    assert guild is not None
    member = await guild.fetch_member(standin.max.id)
    assert [role.id for role in member.roles] == [standin.guild.id, standin.moderators.id]
    for nobody, code in ((stranger.id, 10007), (123456789012345678, 10013)):
        with pytest.raises(discord.NotFound) as refusal:
            await guild.fetch_member(nobody)
        assert refusal.value.code == code


async def test_bot_leaves_a_guild(standin: DiscordStandin, client: Client) -> None:
    other = standin.add_guild("Lighthouse")
    other.system_channel = standin.add_channel("news", other)
    await client.until(lambda: client.get_guild(other.id))
    guild = client.get_guild(other.id)
    assert guild is not None
    await guild.leave()
    await client.until(lambda: client.count("guild_remove"))
    assert [each.id for each in client.guilds] == [standin.guild.id]
    assert other.id not in standin.world.guilds
    with pytest.raises(discord.NotFound):
        await guild.leave()


async def test_guild_names_its_system_channel(standin: DiscordStandin, client: Client) -> None:
    guild = client.get_guild(standin.guild.id)
    assert guild is not None
    assert guild.system_channel is None
    standin.guild.system_channel = standin.random_channel
    standin.world.restore_guild(standin.guild)
    await client.until(lambda: guild.system_channel)
    assert guild.system_channel is not None
    assert guild.system_channel.id == standin.random_channel.id
