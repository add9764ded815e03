"""The complete Discord stand-in for one bot on 127.0.0.1, as a context manager.

async with DiscordStandin() as discord:
    ...                                       # point a client at discord.url and discord.gateway_url
    await discord.say(discord.general, discord.ada, f"{discord.bot.mention} hello")
    await discord.wait_for(lambda: discord.bot_messages(discord.general))
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType

from aiohttp import web

from bot.standin.account_routes import AccountRoutes
from bot.standin.cdn import Cdn
from bot.standin.channel_routes import ChannelRoutes
from bot.standin.commands import CommandBook
from bot.standin.composer import Composer
from bot.standin.entities import (
    Attachment,
    Channel,
    ChannelType,
    Emoji,
    Guild,
    Intent,
    Member,
    Message,
    Permission,
    Role,
    Team,
    Typing,
    User,
)
from bot.standin.faults import Faults
from bot.standin.gateway import Gateway
from bot.standin.guard import no_browsers
from bot.standin.interaction_routes import InteractionRoutes
from bot.standin.interactions import Interactions
from bot.standin.limits import Kind, Limit, Limits
from bot.standin.logins import Logins
from bot.standin.openapi import OpenApi
from bot.standin.people import People
from bot.standin.rest import PREFIX, Exchange, Rest
from bot.standin.sharding import Sharding
from bot.standin.transcript import transcript
from bot.standin.world import KEEP_ALL, Keep, World

TYPING_SECONDS = 10.0

Rtt = float | tuple[float, float] | Callable[[], float]


class DiscordStandin(People):
    """A Discord with one server "Harbour" and its channels #general and #random.

    Ada owns the application, Max moderates, and Bo and Cleo are members.

    `rtt` is the time in seconds that every REST call takes: a number, a range for random values, or a function.
    `bucket`, `limit`, `period` define the buckets for sending and editing (see `Limit`). `privileged` are the intents
    that are enabled in the developer portal. `sharding` are the limits of gateway sessions. `keep_requests` limits the
    record of REST calls; None keeps all. `keep` limits the other records. `openapi` is the path of Discord's OpenAPI
    description; None turns the checks off.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        rtt: Rtt = 0.0,
        bucket: Kind = "leaky",
        limit: int = 5,
        period: float = 1.0,
        token: str = "standin.token",  # noqa: S107  opens nothing
        privileged: Intent = Intent.NONE,
        role_mention_gives_content: bool = False,
        heartbeat_interval: float = 41.25,
        compress: bool = False,
        sharding: Sharding = Sharding(),  # noqa: B008  it is frozen
        keep_requests: int | None = 10_000,
        keep: Keep = KEEP_ALL,
        openapi: str | None = None,
        wall: Callable[[], float] | None = None,
        port: int = 0,
    ) -> None:
        self.privileged = privileged
        """The intents that are enabled in the developer portal. A change counts from the next login on."""
        self.patience = 5.0
        """The default timeout of `wait_for` and `ready` in seconds."""
        self.random = random.Random(seed)
        self.faults = Faults()
        self.limits = Limits(messages=Limit(limit, period, bucket))
        self.world = World(
            time.monotonic, wall or time.time, role_mention_suffices=role_mention_gives_content, keep=keep
        )
        self._port = port
        self._settle()
        self._openapi = OpenApi(Path(openapi)) if openapi else None
        self._cdn = Cdn(lambda: self.cdn_url, self.world.take_id, self.faults, keep_bytes=keep.file_bytes)
        self.commands = CommandBook(self.bot.id, self.world.take_id)
        self._interactions = Interactions(self.world, self.wait_for)
        self._logins = Logins(token, sharding, allowed=lambda: self.privileged, clock=self.world.clock)
        self.gateway = Gateway(
            self.world,
            self.faults,
            self._logins,
            resume_url=lambda: self.gateway_url,
            heartbeat_interval=heartbeat_interval,
            compress=compress,
        )
        self._rest = Rest(
            self.world,
            self.limits,
            self.faults,
            token=lambda: self.token,
            rtt=self._sampler(rtt),
            openapi=self._openapi,
            keep=keep_requests,
        )
        composer = Composer(self.world, self._cdn)
        self._account = AccountRoutes(
            self.world,
            self.gateway,
            self.commands,
            owner=self.ada,
            privileged=lambda: self.privileged,
            gateway_url=lambda: self.gateway_url,
        )
        self._endpoints = [
            *self._account.endpoints(),
            *ChannelRoutes(self.world, composer, lambda: Intent.MESSAGE_CONTENT in self.privileged).endpoints(),
            *InteractionRoutes(self.world, composer, self._interactions).endpoints(),
        ]
        self._runner: web.AppRunner | None = None
        self._waiting: list[tuple[Callable[[], object], asyncio.Future[None]]] = []
        self.world.on_change.append(self._wake)

    def _settle(self) -> None:
        world = self.world
        self.bot = world.bot
        self.ada = world.add_user("ada", "Ada")
        self.max = world.add_user("max", "Max")
        self.bo = world.add_user("bo", "Bo")
        self.cleo = world.add_user("cleo", "Cleo")
        self.guild = world.add_guild("Harbour", self.ada)
        self.moderators = world.add_role(
            self.guild, "Moderators", Permission.MANAGE_GUILD | Permission.MANAGE_MESSAGES, mentionable=True
        )
        world.add_member(self.guild, self.max, roles=[self.moderators])
        world.add_member(self.guild, self.bo)
        world.add_member(self.guild, self.cleo)
        self.general = world.add_channel(self.guild, "general")
        self.random_channel = world.add_channel(self.guild, "random")

    # Start and stop

    async def __aenter__(self) -> DiscordStandin:
        app = web.Application(client_max_size=64 * 1024 * 1024, middlewares=[no_browsers])
        app.router.add_get("/gateway", self.gateway.handle)
        app.router.add_get("/gateway/", self.gateway.handle)
        app.router.add_get(r"/cdn/{path:[\s\S]*}", self._cdn.handle)
        self._rest.register(app, self._endpoints)
        # An answer that a fault delays must not delay the shutdown.
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.gateway.close()
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def token(self) -> str:
        """The token that is accepted now. Discord resets it if a bot starts too many sessions."""
        return self._logins.token

    @property
    def url(self) -> str:
        """The value for `discord.http.Route.BASE`."""
        return f"http://127.0.0.1:{self._port}{PREFIX}"

    @property
    def gateway_url(self) -> str:
        return f"ws://127.0.0.1:{self._port}/gateway"

    @property
    def cdn_url(self) -> str:
        """The value for `discord.asset.Asset.BASE`."""
        return f"http://127.0.0.1:{self._port}/cdn"

    def _sampler(self, rtt: Rtt) -> Callable[[], float]:
        if isinstance(rtt, tuple):
            low, high = rtt
            return lambda: self.random.uniform(low, high)
        if isinstance(rtt, int | float):
            constant = float(rtt)
            return lambda: constant
        return rtt

    # Setup

    def add_guild(self, name: str, owner: User | None = None) -> Guild:
        """Add a server that the bot has just joined."""
        return self.world.add_guild(name, owner or self.ada)

    def add_category(self, name: str, guild: Guild | None = None) -> Channel:
        return self.world.add_category(guild or self.guild, name)

    def add_channel(
        self, name: str, guild: Guild | None = None, *, topic: str | None = None, category: Channel | None = None
    ) -> Channel:
        return self.world.add_channel(guild or self.guild, name, topic=topic, category=category)

    def add_forum(self, name: str, guild: Guild | None = None, *, topic: str | None = None) -> Channel:
        return self.world.add_channel(guild or self.guild, name, ChannelType.FORUM, topic=topic)

    def add_user(
        self,
        name: str,
        display_name: str | None = None,
        *,
        bot: bool = False,
        guild: Guild | None = None,
        nick: str | None = None,
    ) -> User:
        """Add a member to the server."""
        user = self.world.add_user(name, display_name, bot=bot)
        self.world.add_member(guild or self.guild, user, nick=nick)
        return user

    def add_role(
        self,
        name: str,
        permissions: Permission = Permission.NONE,
        *,
        mentionable: bool = False,
        guild: Guild | None = None,
    ) -> Role:
        return self.world.add_role(guild or self.guild, name, permissions, mentionable=mentionable)

    def add_emoji(self, name: str, *, animated: bool = False, guild: Guild | None = None) -> Emoji:
        return self.world.add_emoji(guild or self.guild, name, animated=animated)

    def open_dm(self, user: User) -> Channel:
        return self.world.open_dm(user)

    def set_policies(self, **urls: str) -> None:
        """Set the `privacy_policy_url` or the `terms_of_service_url` of the application, or both."""
        self._account.policies.update(urls)

    def found_team(self, name: str, owner: User, *members: User, invited: Iterable[User] = ()) -> Team:
        """Give the application to a team."""
        team = Team(self.world.take_id(), name, owner, [owner, *members], list(invited))
        self._account.owner = team
        return team

    def member(self, user: User, guild: Guild | None = None) -> Member:
        return (guild or self.guild).members[user.id]

    def allow(self, channel: Channel, permissions: Permission, who: User | Role | None = None) -> None:
        """Allow permissions in one channel, for the bot, a member or a role, in place of earlier rules for them."""
        self.world.set_permissions(channel, who or self.bot, allow=permissions)

    def deny(self, channel: Channel, permissions: Permission, who: User | Role | None = None) -> None:
        """Deny permissions in one channel, for the bot, a member or a role, in place of earlier rules for them."""
        self.world.set_permissions(channel, who or self.bot, deny=permissions)

    def expire_attachments(self) -> None:
        """Give all attachments new addresses. The old ones lead nowhere; a message that is fetched has the new ones."""
        self._cdn.expire()

    # Observation

    @property
    def managed_role(self) -> Role:
        """The bot's own role in the server. Discord's client often suggests this role instead of the bot."""
        return next(role for role in self.guild.roles.values() if role.managed_by == self.bot.id)

    @property
    def requests(self) -> deque[Exchange]:
        """Every recorded REST call, in order of arrival."""
        return self._rest.requests

    @property
    def too_many(self) -> int:
        """The number of calls that were answered with 429."""
        return self._rest.refused_by_limit

    @property
    def unknown_routes(self) -> list[str]:
        """Calls to routes that the stand-in does not have. Each one is a gap in the stand-in and fails the test."""
        return self._rest.unknown_routes

    @property
    def crashes(self) -> list[str]:
        """The tracebacks of failures inside the stand-in."""
        return self._rest.crashes

    @property
    def violations(self) -> list[str]:
        """Bodies that do not fit Discord's OpenAPI description."""
        return self._openapi.violations if self._openapi else []

    @property
    def downloads(self) -> list[Attachment]:
        """Attachments fetched from the stand-in's CDN."""
        return self._cdn.downloads

    @property
    def on_exchange(self) -> list[Callable[[Exchange], None]]:
        """Functions that are called with each REST call after it is read and again after it is answered."""
        return self._rest.on_exchange

    def attachment(self, attachment_id: int) -> Attachment | None:
        """Return the file with this id if it is still kept."""
        return self._cdn.find(attachment_id)

    def messages(self, channel: Channel) -> list[Message]:
        """Return the channel's messages, oldest first."""
        return list(channel.messages.values())

    def bot_messages(self, channel: Channel) -> list[Message]:
        """Return the bot's messages in the channel, oldest first."""
        return [message for message in channel.messages.values() if message.author is self.bot]

    def typing(self, channel: Channel) -> list[Typing]:
        """List the users who are typing in the channel. Each shows for ten seconds or until the user's next message."""
        oldest = self.world.clock() - TYPING_SECONDS
        return [typing for typing in channel.typing.values() if typing.times[-1] > oldest]

    def calls(self, method: str, route: str) -> list[Exchange]:
        """List the recorded REST calls of one route. `route` is a template."""
        return [each for each in self.requests if (each.method, each.route) == (method, route)]

    async def wait_for(self, condition: Callable[[], object], timeout: float | None = None) -> None:
        """Wait until `condition()` is true. It is checked after every change in the stand-in.

        A wait longer than `timeout` raises AssertionError with the contents of the channels. The default is `patience`.
        """
        if condition():
            return
        limit = self.patience if timeout is None else timeout
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (condition, future)
        self._waiting.append(entry)
        try:
            async with asyncio.timeout(limit):
                await future
        except TimeoutError:
            shown = transcript(self.world.channels.values(), self.requests)
            raise AssertionError(f"not within {limit} s. The channels show:\n{shown}") from None
        finally:
            self._waiting.remove(entry)

    async def ready(self, timeout: float | None = None) -> None:
        """Wait until a client is connected and has been sent READY on all its shards."""
        await self.wait_for(lambda: self.gateway.connected, timeout)

    def _wake(self) -> None:
        for condition, future in self._waiting:
            if future.done():
                continue
            try:
                met = condition()
            except Exception as error:  # noqa: BLE001  it belongs to whoever wrote the condition
                future.set_exception(error)
            else:
                if met:
                    future.set_result(None)
