"""The store: its parts over one engine."""

from __future__ import annotations

import time
from collections.abc import Callable

from bot.core.changes import Changes
from bot.core.figures import Figures
from bot.core.shards import Shards
from bot.store.channel_settings import ChannelSettingsStore
from bot.store.conversations import ConversationStore
from bot.store.deliveries import DeliveryStore
from bot.store.engine import Engine
from bot.store.files import FileStore
from bot.store.forgotten_use import ForgottenUse
from bot.store.guild_rules import GuildRuleStore
from bot.store.guilds import GuildStore
from bot.store.notes import NoteStore
from bot.store.part import ALL
from bot.store.people import PeopleStore
from bot.store.person_settings import PersonSettingsStore
from bot.store.personas import PersonaStore
from bot.store.pictures import PictureStore
from bot.store.processed import ProcessedStore
from bot.store.quotas import QuotaStore
from bot.store.recent_authors import RecentAuthorStore
from bot.store.retention import RetentionStore
from bot.store.search import SearchStore
from bot.store.server_facts import ServerFactStore
from bot.store.summaries import SummaryStore
from bot.store.timed import TimedEngine
from bot.store.token_statistics import TokenStatisticsStore
from bot.store.turns import TurnStore
from bot.store.usage import UsageStore
from bot.store.windows import WindowStore


class Store:
    """The parts of the store, which share an engine and a clock. `clock` gives seconds since the epoch.

    `figures` take how long the parts wait for the engine. What is done for all guilds is done for those of `shards`.
    `changes` are those of other processes, and `forgotten` is what forgotten users have used; without these, they begin
    anew. Implements `bot.core.protocols.Store`.
    """

    def __init__(
        self,
        engine: Engine,
        clock: Callable[[], float] = time.time,
        figures: Figures | None = None,
        shards: Shards = ALL,
        changes: Changes | None = None,
        forgotten: ForgottenUse | None = None,
    ) -> None:
        self.engine = engine
        self.changes = changes or Changes()
        engine = TimedEngine(engine, figures or Figures())
        self.channel_settings = ChannelSettingsStore(engine, clock, self.changes)
        self.conversations = ConversationStore(engine, clock)
        self.deliveries = DeliveryStore(engine, clock, shards)
        self.files = FileStore(engine, clock)
        self.guild_rules = GuildRuleStore(engine, clock)
        self.guilds = GuildStore(engine, clock, shards)
        self.notes = NoteStore(engine, clock)
        self.person_settings = PersonSettingsStore(engine, clock)
        self.personas = PersonaStore(engine, clock)
        self.pictures = PictureStore(engine, clock)
        self.processed = ProcessedStore(engine, clock)
        self.quotas = QuotaStore(engine, clock, shards, forgotten or ForgottenUse())
        self.recent_authors = RecentAuthorStore(engine, clock)
        self.retention = RetentionStore(engine, clock, shards)
        self.search = SearchStore(engine, clock)
        self.server_facts = ServerFactStore(engine, clock)
        self.summaries = SummaryStore(engine, clock, shards)
        self.token_statistics = TokenStatisticsStore(engine, clock)
        self.usage = UsageStore(engine, clock)
        self.windows = WindowStore(engine, clock)
        # What a forgotten user has used is kept in the memory of the quotas, and counts for new turns.
        self.people = PeopleStore(engine, clock, self.quotas)
        self.turns = TurnStore(engine, clock, self.quotas, shards)
