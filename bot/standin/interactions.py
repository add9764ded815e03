"""Interactions that people start with commands, buttons and forms, and the answers that they see.

https://discord.com/developers/docs/interactions/receiving-and-responding
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import IntEnum

from bot.standin import message_payloads, payloads
from bot.standin.directory import Event
from bot.standin.entities import Channel, Json, Message, User
from bot.standin.errors import unknown
from bot.standin.world import World

DEADLINE = 3.0
"""The time limit in seconds for answering an interaction. A later answer fails with "did not respond"."""

_TOKEN_LIFE = 15 * 60.0


class Kind(IntEnum):
    COMMAND = 2
    COMPONENT = 3
    AUTOCOMPLETE = 4
    MODAL_SUBMIT = 5


class Callback(IntEnum):
    MESSAGE = 4
    DEFERRED_MESSAGE = 5
    DEFERRED_UPDATE = 6
    UPDATE = 7
    AUTOCOMPLETE = 8
    MODAL = 9


Wait = Callable[[Callable[[], object], float], Awaitable[None]]


@dataclass(eq=False)
class Interaction:
    """One interaction as the person who started it sees it."""

    id: int
    token: str
    kind: Kind
    user: User
    channel: Channel
    data: Json
    started: float
    source: Message | None
    """The message with the component that was used."""
    trigger: Interaction | None
    """The interaction that opened the form. Only sent forms have it."""
    _wait: Wait
    target: Message | None = None
    """The message that a command of its menu was used on. The first answer points to it."""
    callback: Callback | None = None
    """The type of the bot's first answer, or None before that."""
    response: Message | None = None
    """The answer, or the message that an update changed."""
    followups: list[Message] = field(default_factory=list)
    modal: Json | None = None
    choices: list[Json] | None = None
    """The choices that an autocomplete offered."""

    @property
    def focused(self) -> Json:
        """Return the option that asks for choices in a command that is being typed."""
        options: list[Json] = self.data["options"]
        while options and "options" in options[0]:
            options = options[0]["options"]
        return next(each for each in options if each.get("focused"))

    @property
    def deferred(self) -> bool:
        return self.callback in (Callback.DEFERRED_MESSAGE, Callback.DEFERRED_UPDATE)

    @property
    def ephemeral(self) -> bool:
        """Whether only the person who started the interaction sees the answer."""
        return self.response is not None and self.response.ephemeral

    @property
    def content(self) -> str | None:
        """The current text of the answer, or None if there is no answer."""
        return None if self.response is None or self.response.loading else self.response.content

    async def acknowledged(self, timeout: float = DEADLINE) -> Interaction:
        """Wait for the first answer of any type."""
        await self._wait(lambda: self.callback is not None, timeout)
        return self

    async def answered(self, timeout: float = DEADLINE) -> Message:
        """Wait until the person can read an answer, and return it. A deferred update returns the old message."""
        await self._wait(lambda: self.content is not None, timeout)
        if self.response is None:
            raise AssertionError("an answer came and went")
        return self.response


class Interactions:
    """Starts interactions and finds them by their tokens."""

    def __init__(self, world: World, wait: Wait) -> None:
        self._world = world
        self._wait = wait
        self._by_token: dict[str, Interaction] = {}

    def start(
        self,
        kind: Kind,
        user: User,
        channel: Channel,
        data: Json,
        *,
        source: Message | None = None,
        trigger: Interaction | None = None,
        target: Message | None = None,
    ) -> Interaction:
        """Start an interaction and send it to the bot. `data` is the part that depends on the kind."""
        world = self._world
        interaction = Interaction(
            world.take_id(),
            secrets.token_hex(32),
            kind,
            user,
            channel,
            data,
            world.clock(),
            source,
            trigger,
            self._wait,
            target,
        )
        self._forget_old()
        self._by_token[interaction.token] = interaction
        body = self._payload(interaction)
        guild_id = channel.guild.id if channel.guild else None
        event = Event("INTERACTION_CREATE", lambda _: body, None, guild_id, channel.id)
        for listener in tuple(world.on_event):
            listener(event)
        world.changed()
        return interaction

    def to_answer(self, interaction_id: int, token: str) -> Interaction:
        """Return the interaction for a first answer. The token must be correct and the deadline not over."""
        interaction = self._by_token.get(token)
        if interaction is None or interaction.id != interaction_id:
            raise unknown("Interaction")
        if interaction.callback is None and self._world.clock() - interaction.started > DEADLINE:
            raise unknown("Interaction")
        return interaction

    def to_follow_up(self, token: str) -> Interaction:
        """Return the interaction for a later answer. The token is valid for fifteen minutes."""
        interaction = self._by_token.get(token)
        if interaction is None or self._world.clock() - interaction.started > _TOKEN_LIFE:
            raise unknown("Webhook")
        return interaction

    def metadata(self, interaction: Interaction) -> Json:
        """Build the `interaction_metadata` of the messages that result from an interaction."""
        body: Json = {
            "id": str(interaction.id),
            "type": int(interaction.kind),
            "user": payloads.user(interaction.user),
            "authorizing_integration_owners": self._owners(interaction),
        }
        if interaction.target is not None:
            body["target_message_id"] = str(interaction.target.id)
        elif "target_id" in interaction.data:
            body["target_user"] = payloads.user(self._world.users[int(interaction.data["target_id"])])
        if interaction.trigger is not None:
            body["triggering_interaction_metadata"] = self.metadata(interaction.trigger)
        elif interaction.source is not None:
            body["interacted_message_id"] = str(interaction.source.id)
        return body

    def _forget_old(self) -> None:
        oldest = self._world.clock() - _TOKEN_LIFE
        while self._by_token and next(iter(self._by_token.values())).started < oldest:
            del self._by_token[next(iter(self._by_token))]

    def _owners(self, interaction: Interaction) -> dict[str, str]:
        """Return the installation that allowed the interaction. The key "0" is a server, and the value "0" is a DM."""
        guild = interaction.channel.guild
        return {"0": str(guild.id) if guild else "0"}

    def _payload(self, interaction: Interaction) -> Json:
        world, channel, user = self._world, interaction.channel, interaction.user
        guild = channel.guild
        permissions = world.permissions(user, channel)
        body: Json = {
            "id": str(interaction.id),
            "application_id": str(world.bot.id),
            "type": int(interaction.kind),
            "token": interaction.token,
            "version": 1,
            "data": interaction.data,
            "channel_id": str(channel.id),
            "channel": payloads.channel(channel) | {"permissions": str(int(permissions))},
            "app_permissions": str(int(world.permissions(world.bot, channel))),
            "locale": "en-US",
            "entitlements": [],
            "entitlement_sku_ids": [],
            "authorizing_integration_owners": self._owners(interaction),
            "context": 0 if guild else 1,
            "attachment_size_limit": 20 * 1024 * 1024,
        }
        if guild is None:
            body["user"] = payloads.user(user)
        else:
            body["member"] = payloads.interaction_member(guild.members[user.id], permissions)
            body["guild_id"] = str(guild.id)
            body["guild"] = {"id": str(guild.id), "locale": "en-US", "features": []}
            body["guild_locale"] = "en-US"
        if interaction.source is not None:
            body["message"] = message_payloads.message(interaction.source, world.viewer(content=True))
        return body
