"""Discord's JSON for the stand-in's entities, but for messages: these are in `message_payloads`."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from bot.standin.entities import (
    Channel,
    ChannelType,
    Emoji,
    Guild,
    Intent,
    Json,
    Member,
    Permission,
    Role,
    Team,
    User,
)

JOINED = "2021-06-01T12:00:00+00:00"
"""The date on which every member joined. Nothing in the stand-in depends on it."""


def moment(at: float) -> str:
    """Format seconds since the epoch as ISO 8601."""
    return datetime.fromtimestamp(at, UTC).isoformat()


def user(who: User) -> Json:
    return {
        "id": str(who.id),
        "username": who.name,
        "discriminator": "0",
        "global_name": who.display_name,
        "avatar": None,
        "bot": who.bot,
        "public_flags": 0,
        "flags": 0,
        "primary_guild": None,
    }


def own_user(who: User) -> Json:
    """Build the JSON of the bot's own account, with the fields that only the account itself sees."""
    return user(who) | {"mfa_enabled": True, "locale": "en-US", "verified": True, "email": None}


def member(who: Member, *, with_user: bool = True) -> Json:
    body: Json = {
        "nick": who.nick,
        "avatar": None,
        "banner": None,
        "roles": [str(role.id) for role in who.roles],
        "joined_at": JOINED,
        "premium_since": None,
        "communication_disabled_until": None,
        "pending": False,
        "mute": False,
        "deaf": False,
        "flags": 0,
    }
    if with_user:
        body["user"] = user(who.user)
    return body


def role(it: Role) -> Json:
    body: Json = {
        "id": str(it.id),
        "name": it.name,
        "permissions": str(int(it.permissions)),
        "position": it.position,
        "color": 0,
        "colors": {"primary_color": 0, "secondary_color": None, "tertiary_color": None},
        "hoist": False,
        "managed": it.managed_by is not None,
        "mentionable": it.mentionable,
        "icon": None,
        "unicode_emoji": None,
        "flags": 0,
    }
    if it.managed_by is not None:
        body["tags"] = {"bot_id": str(it.managed_by)}
    return body


def emoji(it: Emoji) -> Json:
    return {
        "id": str(it.id),
        "name": it.name,
        "animated": it.animated,
        "roles": [],
        "require_colons": True,
        "managed": False,
        "available": True,
    }


def partial_emoji(key: str) -> Json:
    """Build an emoji's JSON from its form in REST paths: the character itself, or `name:id`."""
    name, _, id_ = key.partition(":")
    return {"id": id_ or None, "name": name}


def channel(it: Channel) -> Json:
    """Build the JSON of a text channel, a forum, a thread, a category or a DM."""
    last = str(it.last_message_id) if it.last_message_id else None
    if it.guild is None:
        recipients = [user(it.recipient)] if it.recipient else []
        return {
            "id": str(it.id),
            "type": ChannelType.DM.value,
            "flags": 0,
            "last_message_id": last,
            "recipients": recipients,
        }
    above = it.parent or it.category
    common: Json = {
        "id": str(it.id),
        "type": it.type.value,
        "flags": 0,
        "guild_id": str(it.guild.id),
        "name": it.name,
        "last_message_id": last,
        "rate_limit_per_user": it.slowmode,
        "parent_id": str(above.id) if above else None,
    }
    if it.parent is not None:
        return common | _thread_fields(it)
    forum = {"available_tags": [], "default_forum_layout": 0, "default_sort_order": None}
    return common | {
        **(forum if it.type is ChannelType.FORUM else {}),
        "position": 0,
        "topic": it.topic,
        "nsfw": False,
        "permission_overwrites": [
            {
                "id": str(id_),
                "type": 0 if overwrite.kind == "role" else 1,
                "allow": str(int(overwrite.allow)),
                "deny": str(int(overwrite.deny)),
            }
            for id_, overwrite in it.overwrites.items()
        ],
    }


def _thread_fields(it: Channel) -> Json:
    return {
        "owner_id": str(it.owner.id if it.owner else 0),
        "thread_metadata": {
            "archived": it.archived,
            "archive_timestamp": moment(it.archive_changed_at),
            "auto_archive_duration": 1440,
            "locked": it.locked,
            "create_timestamp": moment(it.created_at),
        },
        "message_count": len(it.messages),
        "total_message_sent": len(it.messages),
        "member_count": len(it.members),
    }


def thread_member(thread: Channel, who: User) -> Json:
    return {"id": str(thread.id), "user_id": str(who.id), "join_timestamp": moment(thread.created_at), "flags": 0}


def guild(it: Guild) -> Json:
    """Build a server's JSON for REST."""
    return {
        "id": str(it.id),
        "name": it.name,
        "icon": None,
        "description": None,
        "home_header": None,
        "splash": None,
        "discovery_splash": None,
        "features": [],
        "banner": None,
        "owner_id": str(it.owner.id),
        "application_id": None,
        "region": "us-west",
        "afk_channel_id": None,
        "afk_timeout": 300,
        "system_channel_id": str(it.system_channel.id) if it.system_channel else None,
        "system_channel_flags": 0,
        "widget_enabled": False,
        "widget_channel_id": None,
        "verification_level": 0,
        "roles": [role(each) for each in it.roles.values()],
        "default_message_notifications": 0,
        "mfa_level": 0,
        "explicit_content_filter": 0,
        "max_presences": None,
        "max_members": 500_000,
        "max_stage_video_channel_users": 50,
        "max_video_channel_users": 25,
        "vanity_url_code": None,
        "premium_tier": 0,
        "premium_subscription_count": 0,
        "preferred_locale": "en-US",
        "rules_channel_id": None,
        "safety_alerts_channel_id": None,
        "public_updates_channel_id": None,
        "premium_progress_bar_enabled": False,
        "nsfw": False,
        "nsfw_level": 0,
        "emojis": [emoji(each) for each in it.emojis.values()],
        "stickers": [],
        "incidents_data": None,
    }


def guild_create(it: Guild, channels: Iterable[Channel], bot: User) -> Json:
    """Build a server's JSON for the gateway, with its channels and threads. The bot is the only member in it."""
    channels = list(channels)
    return guild(it) | {
        "joined_at": JOINED,
        "large": False,
        "member_count": len(it.members),
        "members": [member(it.members[bot.id])],
        "channels": [channel(each) for each in channels if not each.is_thread],
        "threads": [channel(each) for each in channels if each.is_thread and not each.archived],
        "voice_states": [],
        "presences": [],
        "stage_instances": [],
        "guild_scheduled_events": [],
        "soundboard_sounds": [],
    }


_SWITCHED_ON = {
    Intent.GUILD_PRESENCES: 1 << 13,
    Intent.GUILD_MEMBERS: 1 << 15,
    Intent.MESSAGE_CONTENT: 1 << 19,
}


def application_flags(privileged: Intent) -> int:
    """Return the application flags for the enabled privileged intents, for a bot in fewer than 100 servers."""
    return sum(bit for intent, bit in _SWITCHED_ON.items() if intent in privileged)


def application(bot: User, owner: User | Team, *, flags: int) -> Json:
    """Build the JSON of the bot's application as its owner sees it."""
    # A team's application also has an owner. Discord uses a placeholder user for it.
    one = User(owner.id, f"team{owner.id}") if isinstance(owner, Team) else owner
    return {
        "id": str(bot.id),
        "name": bot.display_name or bot.name,
        "icon": None,
        "description": "",
        "type": None,
        "bot": user(bot),
        "bot_public": True,
        "bot_require_code_grant": False,
        "verify_key": "0" * 64,
        "flags": flags,
        "flags_new": str(flags),
        "redirect_uris": [],
        "interactions_endpoint_url": None,
        "role_connections_verification_url": None,
        "owner": user(one),
        "approximate_guild_count": 1,
        "approximate_user_install_count": 0,
        "approximate_user_authorization_count": 0,
        "explicit_content_filter": 0,
        "team": team(owner) if isinstance(owner, Team) else None,
        "eligible_oauth2_scopes": [],
    }


def team(it: Team) -> Json:
    states = {2: it.members, 1: it.invited}
    return {
        "id": str(it.id),
        "icon": None,
        "name": it.name,
        "owner_user_id": str(it.owner.id),
        "members": [
            {"user": user(who), "team_id": str(it.id), "membership_state": state, "role": "admin", "permissions": ["*"]}
            for state, people in states.items()
            for who in people
        ],
    }


def interaction_member(who: Member, permissions: Permission) -> Json:
    """Build the JSON of the person behind an interaction, with their permissions in its channel."""
    return member(who) | {"permissions": str(int(permissions))}
