"""Access rules of the playground: who sees which channel and what they may do there, as on Discord."""

from __future__ import annotations

from bot.standin.entities import Channel, ChannelType, Permission, User
from bot.standin.world import World


def sees(world: World, user: User, channel: Channel) -> bool:
    """Whether a user sees a channel.

    Only its two members see a DM. Only joined users and moderators see a private thread.
    """
    if channel.guild is None:
        return channel.recipient is user
    permissions = world.permissions(user, channel)
    if channel.type is ChannelType.PRIVATE_THREAD and user.id not in channel.members:
        return Permission.MANAGE_THREADS in permissions
    return Permission.VIEW_CHANNEL in permissions


def may(world: World, user: User, channel: Channel, permission: Permission) -> bool:
    """Whether a user sees a channel and has a permission in it."""
    return sees(world, user, channel) and permission in world.permissions(user, channel)


def may_write(world: World, user: User, channel: Channel) -> bool:
    """Whether a user may write in a channel.

    A locked thread is open to moderators only. An archived thread opens when someone writes. A forum has only posts.
    """
    if channel.type is ChannelType.FORUM:
        return False
    if channel.locked and not may(world, user, channel, Permission.MANAGE_THREADS):
        return False
    needed = Permission.SEND_MESSAGES_IN_THREADS if channel.is_thread else Permission.SEND_MESSAGES
    return may(world, user, channel, needed)


def may_delete_others(world: World, user: User, channel: Channel) -> bool:
    """Whether a user may delete messages of others. Moderators may do so in a server, and nobody may in a DM."""
    return channel.guild is not None and may(world, user, channel, Permission.MANAGE_MESSAGES)
