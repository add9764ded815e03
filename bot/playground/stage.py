"""State that all tabs share: the world, its view, private messages, files, wire entries and switches."""

from __future__ import annotations

from dataclasses import dataclass

from bot.core.figures import Figures
from bot.playground.model import Described
from bot.playground.private import Private
from bot.playground.runner import Runner
from bot.playground.switches import Switches
from bot.playground.uploads import Uploads
from bot.playground.view import View
from bot.playground.wire import Wire
from bot.standin.entities import Channel, Json
from bot.standin.server import DiscordStandin
from bot.texts import playground as words


@dataclass(frozen=True, slots=True)
class Stage:
    discord: DiscordStandin
    runner: Runner
    switches: Switches
    private: Private
    uploads: Uploads
    view: View
    wire: Wire
    model: Described
    figures: Figures

    def hello(self, channel: Channel | None) -> Json:
        """Return the first frame of a tab."""
        model = {"demo": self.model.name is None, "name": self.model.name, "host": self.model.host}
        return {"t": "hello", **self.view.start(model), "switches": self.switches.shown(channel)}


def settle(discord: DiscordStandin) -> None:
    """Create the channels in the same order at every start. Each channel so keeps its id and its conversation."""
    for user in (discord.ada, discord.max, discord.bo, discord.cleo):
        discord.open_dm(user)
    discord.general.topic = words.topic_to_ask(discord.bot.display_name or discord.bot.name)
    discord.random_channel.topic = words.TOPIC_OF_ITS_OWN
    discord.add_forum("questions", topic=words.TOPIC_OF_FORUM)
