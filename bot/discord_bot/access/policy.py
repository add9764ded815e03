"""Whether a prompt, a press or a command is to be answered: asked of each before anything else is done for it.

In the way of a turn stands one query. What Discord has to be asked, who is a member where, is kept for a while.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Iterable, Iterator

import discord

from bot.core import access
from bot.core.access import AccessSettings, Denial, GuildRules, Person
from bot.core.turns import Turn
from bot.discord_bot.access import members
from bot.discord_bot.access.members import Members, Membership, MembershipStatus
from bot.discord_bot.delivery.messages import platform_errors
from bot.discord_bot.delivery.scheduler import Scheduler
from bot.discord_bot.delivery.view import ContentRejected, NotEditable, TargetGone
from bot.discord_bot.ids import channel_of
from bot.discord_bot.inbound.reader import is_private
from bot.store import Store

log = logging.getLogger(__name__)

_TOLD_WITHIN, _LOOK_AGAIN = 2.0, 0.05
"""Seconds that a server's channels and roles may come after the connection, and between two looks."""
_SERVERS, _AT_ONCE = 100, 5
"""Servers in which somebody who writes a direct message is looked for, and so many at the same time."""
_LOOKED_FOR_WITHIN = 5.0
"""Seconds for that: in a flood of direct messages it takes longer, and can be told when they write again."""


class Policy:
    """Over one client. Raises StoreError where it has to know what moderators decided and cannot."""

    def __init__(self, client: discord.Client, store: Store, scheduler: Scheduler, options: AccessSettings) -> None:
        self._client = client
        self._store = store
        self._access = options
        self._members = Members(scheduler)
        self._owners: frozenset[int] = frozenset()
        self.connected = asyncio.Event()
        """To be set once Discord has named the servers that the bot is in."""

    async def check_message(self, message: discord.Message) -> Denial | None:
        """Why a message that is meant for the bot is not answered. None: it is."""
        if is_private(message):
            return await self._denied_directly(message.author.id)
        if message.guild is None:
            return Denial.GUILD
        await wait_until_available(message.guild)
        channel = message.guild.get_channel_or_thread(message.channel.id) or message.channel
        return await self._denied_in(message.guild, channel, message.author)

    async def check_interaction(self, interaction: discord.Interaction) -> Denial | None:
        """The same for what somebody asks for by a button."""
        if interaction.guild_id is None:
            return await self._denied_directly(interaction.user.id)
        if interaction.guild is None or interaction.channel is None:
            return Denial.GUILD
        return await self._denied_in(interaction.guild, interaction.channel, interaction.user)

    async def check_retry(self, turn: Turn) -> Denial | None:
        """The same for a turn that is to be tried again though nobody asks for it: much may have changed meanwhile.

        Waits until Discord has told of the servers. Raises Unavailable as well.
        """
        await self.connected.wait()
        if turn.guild_id is None:
            return await self._denied_directly(turn.author_id or 0)
        guild = self._client.get_guild(turn.guild_id)
        if guild is None:
            return Denial.GUILD
        await wait_until_available(guild)
        channel = await self._channel(guild, channel_of(turn.conversation))
        return await self._denied_in(guild, channel, discord.Object(turn.author_id or 0))

    async def check_user(self, interaction: discord.Interaction) -> Denial | None:
        """Why somebody may not do in a server what asks no model, such as a reset. None: they may.

        In a direct message it is their own matter.
        """
        if interaction.guild_id is None:
            return None
        rules = await self._store.guild_rules.rules_for(interaction.guild_id, interaction.user.id)
        user = interaction.user
        roles = members.roles(user) if isinstance(user, discord.Member) else frozenset()
        return access.denied_to_user(self._access, rules, Person(user.id, roles))

    def close(self) -> None:
        """Ask Discord nothing more that has not been asked yet."""
        self._members.close()

    async def is_served(
        self, guild: discord.Guild, *, refresh: bool = False, within: float = members.LOOKUP_TIMEOUT
    ) -> bool:
        """Whether the operator wants a server answered. `anew`: whatever Discord said before.

        Of those of the application's owners, only where Discord says of each of them that they are no member.
        """
        servers = self._access.servers
        if servers.any or guild.id in servers.ids:
            return True
        if not servers.owner:
            return False
        if guild.owner_id in self.owners:
            return True
        found = await asyncio.gather(
            *(self._members.of(guild, owner, refresh=refresh, within=within) for owner in self.owners)
        )
        return not found or any(each.status is not MembershipStatus.NOT_MEMBER for each in found)

    @property
    def owners(self) -> frozenset[int]:
        """Who owns the application, as discord.py read it at its login or `look_up_owners` since then."""
        if not self._owners and self._client.application is not None:
            self._owners = owners(self._client.application)
        return self._owners

    async def look_up_owners(self) -> None:
        """Read anew who owns the application. Raises as discord.py does."""
        self._owners = owners(await self._client.application_info())

    async def _denied_in(
        self,
        guild: discord.Guild,
        channel: object,
        user: discord.abc.Snowflake,
    ) -> Denial | None:
        if isinstance(user, discord.Member):
            self._members.seen(user)
        served = await self.is_served(guild)
        rules = await self._store.guild_rules.rules_for(guild.id, user.id) if served else GuildRules()
        if isinstance(user, discord.Member):
            person = Person(user.id, members.roles(user))
        else:
            # A message that was looked up comes without its author's roles.
            person = _person(user.id, [await self._members.of(guild, user.id)] if self._access.roles else [])
        return access.denied_in_guild(self._access, rules, person, channel_ids(channel), served=served)

    async def _channel(self, guild: discord.Guild, id_: int) -> discord.abc.Snowflake:
        """A channel or thread of a server; of one that may not be looked up, its id."""
        if (known := guild.get_channel_or_thread(id_)) is not None:
            return known
        try:
            with platform_errors():
                # Such as an archived thread, which Discord tells of only when it is asked.
                return await self._client.fetch_channel(id_)
        except (TargetGone, ContentRejected, NotEditable):
            return discord.Object(id_)

    async def _denied_directly(self, person_id: int) -> Denial | None:
        rules = self._access
        if rules.direct_messages == "off":
            return Denial.DIRECT_MESSAGES
        if rules.direct_messages == "members" and self._members.is_stranger(person_id):
            return Denial.NOT_MEMBER
        give_up = time.monotonic() + _LOOKED_FOR_WITHIN
        # Of a server that is hidden by an outage, the roles are not known.
        with_roles = [
            guild
            for guild in self._client.guilds
            if rules.roles and (guild.unavailable or any(map(guild.get_role, rules.roles)))
        ]
        found = [membership async for _, membership in self._memberships(person_id, with_roles, give_up)]
        person = _person(person_id, found)
        denied = access.denied_in_dm(rules, person, shares_guild=True)
        if denied or rules.direct_messages == "everyone":
            return denied
        return access.denied_in_dm(rules, person, shares_guild=await self._shares_server(person_id, give_up))

    async def _shares_server(self, person_id: int, give_up: float) -> bool | None:
        """Whether somebody is a member of a served server. None: Discord cannot be asked about one of them."""
        if person_id in self.owners:
            return True
        asked_in = await self._store.people.asked_in(person_id)
        order = {guild_id: place for place, guild_id in enumerate(asked_in)}
        guilds = sorted(
            self._client.guilds, key=lambda each: (order.get(each.id, len(order)), -(each.member_count or 0))
        )[:_SERVERS]
        shares: bool | None = False
        async for guild, membership in self._memberships(person_id, guilds, give_up):
            if membership.status is not MembershipStatus.NOT_MEMBER and await self.is_served(
                guild, within=give_up - time.monotonic()
            ):
                if membership.status is MembershipStatus.MEMBER:
                    return True
                shares = None
        if shares is False:
            self._members.stranger(person_id, guilds)
        elif await self._store.people.has_asked(person_id):
            # Who was let in before is not sent away because Discord is in trouble.
            return True
        elif self._members.was_stranger(person_id):
            return False
        return shares

    async def _memberships(
        self, person_id: int, guilds: list[discord.Guild], give_up: float
    ) -> AsyncIterator[tuple[discord.Guild, Membership]]:
        """What a person is in these servers, and at the end in those that took long to tell. It is over at `give_up`.

        A server in which Discord is slow must not keep it from being found that they are in another.
        """
        late: list[discord.Guild] = []
        for some in _by(_AT_ONCE, guilds):
            within = min(members.LOOKUP_TIMEOUT, give_up - time.monotonic())
            found = await asyncio.gather(*(self._members.of(guild, person_id, within=within) for guild in some))
            for guild, membership in zip(some, found, strict=True):
                if membership.status is MembershipStatus.UNKNOWN and self._members.looks_up(guild, person_id):
                    late.append(guild)
                else:
                    yield guild, membership
        within = give_up - time.monotonic()
        pending = {guild.id for guild in late if self._members.looks_up(guild, person_id)}
        found = await asyncio.gather(
            *(self._members.of(guild, person_id, refresh=guild.id in pending, within=within) for guild in late)
        )
        for each in zip(late, found, strict=True):
            yield each


def owners(application: discord.AppInfo) -> frozenset[int]:
    """The ids of those who own an application: one person, or the members of a team."""
    if application.team is None:
        return frozenset({application.owner.id})
    accepted = discord.TeamMembershipState.accepted
    return frozenset(member.id for member in application.team.members if member.membership_state is accepted)


def channel_ids(channel: object) -> list[int]:
    """The ids of a thread, its channel and its category, as far as there are such; the most specific first."""
    found: list[int | None] = []
    if isinstance(channel, discord.Thread):
        found += channel.id, channel.parent_id
        channel = channel.parent
    if isinstance(channel, discord.abc.GuildChannel):
        found += channel.id, channel.category_id
    elif isinstance(channel, discord.abc.Snowflake):
        found.append(channel.id)
    return list(dict.fromkeys(each for each in found if each is not None))


async def wait_until_available(guild: discord.Guild) -> None:
    """Wait a moment for what there is in a server: after a connection, messages may come before that."""
    waited = 0.0
    while guild.unavailable and waited < _TOLD_WITHIN:
        await asyncio.sleep(_LOOK_AGAIN)
        waited += _LOOK_AGAIN


def _person(person_id: int, found: Iterable[Membership]) -> Person:
    """Somebody with the roles that they have in these servers."""
    memberships = list(found)
    return Person(
        person_id,
        frozenset().union(*(each.roles for each in memberships)),
        all_roles=all(each.status is not MembershipStatus.UNKNOWN for each in memberships),
    )


def _by(count: int, guilds: list[discord.Guild]) -> Iterator[list[discord.Guild]]:
    for start in range(0, len(guilds), count):
        yield guilds[start : start + count]
