"""REST routes for the bot's own account, its application, its commands and its servers."""

from __future__ import annotations

import math
from collections.abc import Callable

from bot.standin import payloads
from bot.standin.commands import CommandBook
from bot.standin.entities import Guild, Intent, Json, Permission, Team, User
from bot.standin.errors import missing_access, unknown
from bot.standin.gateway import Gateway
from bot.standin.rest import Endpoint, Incoming
from bot.standin.world import World

_APPLICATION = "/applications/{application_id}"


class AccountRoutes:
    """REST handlers for the bot's account.

    `owner` owns the application and can be replaced at any time. `privileged` are the intents enabled for it.
    `policies` are the addresses of its terms and its privacy policy under Discord's names for them; Discord leaves out
    one that is not set.
    """

    def __init__(
        self,
        world: World,
        gateway: Gateway,
        commands: CommandBook,
        *,
        owner: User | Team,
        privileged: Callable[[], Intent],
        gateway_url: Callable[[], str],
    ) -> None:
        self._world = world
        self._gateway = gateway
        self._commands = commands
        self.owner = owner
        self.policies: dict[str, str] = {}
        self._privileged = privileged
        self._gateway_url = gateway_url

    def endpoints(self) -> list[Endpoint]:
        global_commands = _APPLICATION + "/commands"
        guild_commands = _APPLICATION + "/guilds/{guild_id}/commands"
        return [
            Endpoint("GET", "/users/@me", lambda call: payloads.own_user(self._world.bot)),
            Endpoint("GET", "/users/@me/guilds", self._guilds),
            Endpoint("DELETE", "/users/@me/guilds/{guild_id}", self._leave),
            Endpoint("GET", "/users/{user_id}", lambda call: payloads.user(self._user(call))),
            Endpoint("GET", "/oauth2/applications/@me", self._application),
            Endpoint("GET", "/applications/@me", self._application),
            Endpoint("GET", "/gateway", lambda call: {"url": self._gateway_url()}),
            Endpoint("GET", "/gateway/bot", self._gateway_bot),
            Endpoint("GET", global_commands, lambda call: self._commands.registered(None)),
            Endpoint("PUT", global_commands, lambda call: self._commands.replace(None, call.body)),
            Endpoint("POST", global_commands, lambda call: self._commands.add(None, call.body)),
            Endpoint("GET", guild_commands, lambda call: self._commands.registered(self._guild(call).id)),
            Endpoint("PUT", guild_commands, lambda call: self._commands.replace(self._guild(call).id, call.body)),
            Endpoint("POST", guild_commands, lambda call: self._commands.add(self._guild(call).id, call.body)),
            Endpoint("GET", "/guilds/{guild_id}", lambda call: payloads.guild(self._guild(call))),
            Endpoint("GET", "/guilds/{guild_id}/channels", self._channels),
            Endpoint("GET", "/guilds/{guild_id}/members/{user_id}", self._member),
        ]

    def _guild(self, call: Incoming) -> Guild:
        guild = self._world.guilds.get(call.id("guild_id"))
        if guild is None or self._world.bot.id not in guild.members:
            raise missing_access()
        return guild

    def _user(self, call: Incoming) -> User:
        user = self._world.users.get(call.id("user_id"))
        if user is None:
            raise unknown("User")
        return user

    def _member(self, call: Incoming) -> Json:
        member = self._guild(call).members.get(self._user(call).id)
        if member is None:
            raise unknown("Member")
        return payloads.member(member)

    def _channels(self, call: Incoming) -> list[Json]:
        guild = self._guild(call)
        return [payloads.channel(c) for c in self._world.channels.values() if c.guild is guild and not c.is_thread]

    def _guilds(self, call: Incoming) -> list[Json]:
        return [
            {
                "id": str(guild.id),
                "name": guild.name,
                "icon": None,
                "banner": None,
                "owner": False,
                "permissions": str(int(Permission.member())),
                "features": [],
            }
            for guild in self._page(call)
        ]

    def _page(self, call: Incoming) -> list[Guild]:
        """The guilds of the bot on one page, by their ids."""
        after, limit = int(call.query.get("after", 0)), int(call.query.get("limit", 200))
        mine = [guild for guild in self._world.guilds.values() if self._world.bot.id in guild.members]
        return sorted((guild for guild in mine if guild.id > after), key=lambda guild: guild.id)[:limit]

    def _leave(self, call: Incoming) -> None:
        guild = self._world.guilds.get(call.id("guild_id"))
        if guild is None:
            raise unknown("Guild")
        self._world.remove_guild(guild)

    def _application(self, call: Incoming) -> Json:
        return (
            payloads.application(self._world.bot, self.owner, flags=payloads.application_flags(self._privileged()))
            | self.policies
        )

    def _gateway_bot(self, call: Incoming) -> Json:
        starts = self._gateway.starts
        rules = starts.rules
        return {
            "url": self._gateway_url(),
            "shards": rules.recommended(self._world.guilds),
            "session_start_limit": {
                "total": rules.session_starts,
                "remaining": starts.remaining,
                "reset_after": math.ceil(starts.reset_after * 1000),
                "max_concurrency": rules.max_concurrency,
            },
        }
