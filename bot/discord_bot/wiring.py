"""Builds the parts of one bot and connects them to each other."""

from __future__ import annotations

from dataclasses import dataclass

import discord

from bot.core.service import ConversationService
from bot.discord_bot.access.guilds import GuildWatch
from bot.discord_bot.access.policy import Policy
from bot.discord_bot.commands import command_tree
from bot.discord_bot.commands.context import BotContext, Tree
from bot.discord_bot.delivery import buttons
from bot.discord_bot.delivery.interaction_messages import PrivatePosts
from bot.discord_bot.delivery.notices import Notices
from bot.discord_bot.delivery.opener import ReplyOpener
from bot.discord_bot.delivery.reactions import Reactions
from bot.discord_bot.delivery.records import MessageRecords
from bot.discord_bot.delivery.replies import Replies
from bot.discord_bot.delivery.scheduler import Scheduler
from bot.discord_bot.delivery.threads import QuestionThreads
from bot.discord_bot.inbound.ask_handler import AskHandler
from bot.discord_bot.inbound.downloads import Downloads
from bot.discord_bot.inbound.edits import MessageLifecycle
from bot.discord_bot.inbound.files import PromptFiles
from bot.discord_bot.inbound.history import History
from bot.discord_bot.inbound.inbox import Inbox, Reading
from bot.discord_bot.inbound.message_handler import MessageHandler
from bot.discord_bot.inbound.missed import MissedMessages
from bot.discord_bot.inbound.pictures import DiscordPictures
from bot.discord_bot.inbound.recent import RecentMessages
from bot.discord_bot.inbound.recovery import Recovery
from bot.discord_bot.inbound.targets import Targets
from bot.discord_bot.inbound.unmentioned import Unmentioned
from bot.discord_bot.interactions.button_handler import ButtonHandler
from bot.discord_bot.interactions.responses import Forms
from bot.discord_bot.options import Options
from bot.discord_bot.owner_alerts import OwnerAlerts
from bot.discord_bot.shards import Connections
from bot.discord_bot.tasks import TaskSupervisor
from bot.files import FileReader
from bot.store import Store


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a bot to which the client routes Discord's events."""

    tasks: TaskSupervisor
    policy: Policy
    guild_watch: GuildWatch
    owner_alerts: OwnerAlerts
    reactions: Reactions
    inbox: Inbox
    messages: MessageHandler
    recent: RecentMessages
    asking: AskHandler
    private_posts: PrivatePosts
    lifecycle: MessageLifecycle
    missed: MissedMessages
    recovery: Recovery
    forms: Forms
    tree: Tree
    downloads: Downloads


def wire(
    client: discord.Client,
    conversations: ConversationService,
    store: Store,
    scheduler: Scheduler,
    options: Options,
    connections: Connections,
) -> Parts:
    """Build the parts of a client that is not logged in yet."""
    tasks = TaskSupervisor()
    policy = Policy(client, store, scheduler, options.access, connections)
    owner_alerts = OwnerAlerts(client, store, conversations.settings.quotas, tasks)
    reactions = Reactions(client, store, scheduler, tasks.spawn)
    records = MessageRecords(store, conversations.saver.late)
    forget = conversations.saver.forget_turn
    opener = ReplyOpener(client, scheduler, reactions, tasks.spawn, records, options.messages_per_reply, forget)
    history = History(client, scheduler)
    downloads = Downloads(options.network, FileReader())
    files = PromptFiles(client, store, conversations, history, downloads)
    threads = QuestionThreads(client, store)
    conversations.summaries.place_title = threads.retitle
    replies = Replies(opener, conversations, store, tasks.spawn, files.read, threads, on_end=owner_alerts.check)
    notices = Notices(client, store, scheduler, reactions)
    pictures = conversations.pictures.source = DiscordPictures(client, history, downloads)
    messages = MessageHandler(client, replies, notices, policy, tasks, files, pictures, conversations.outages)
    recent = RecentMessages(client, store, history, policy, tasks)
    reading = Reading(Unmentioned(client, store), recent) if options.message_content else None
    conversations.recent.find = recent.before if options.message_content else None
    inbox = Inbox(client, messages, notices, policy, reading, tasks)
    asking = AskHandler(client, replies, policy, store.personas, files, pictures, conversations.outages)
    forms, targets = Forms(), Targets()
    button_handler = ButtonHandler(conversations, store, policy, replies, tasks)
    buttons.listen(client, buttons.REPLY, button_handler.pressed)
    return Parts(
        tasks=tasks,
        policy=policy,
        guild_watch=GuildWatch(client, store, policy, tasks, owners_are=options.access.servers.owner),
        owner_alerts=owner_alerts,
        reactions=reactions,
        inbox=inbox,
        messages=messages,
        recent=recent,
        asking=asking,
        private_posts=opener.private_posts,
        lifecycle=MessageLifecycle(client, conversations.forgetting, store, replies, messages, targets, tasks),
        missed=MissedMessages(
            client,
            store,
            history,
            reactions,
            inbox,
            max_age=options.recovery_max_age,
            per_channel=options.catch_up_per_channel,
        ),
        recovery=Recovery(conversations, store, replies, policy, history, tasks, max_age=options.recovery_max_age),
        forms=forms,
        downloads=downloads,
        tree=command_tree(
            BotContext(
                client,
                conversations,
                store,
                replies,
                policy,
                forms,
                options,
                tasks,
                files,
                pictures,
                targets,
                button_handler,
                recent,
                asking,
            )
        ),
    )
