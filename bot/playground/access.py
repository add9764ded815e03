"""Who sees which channel and may do what there, by Discord's rules."""

from __future__ import annotations

from bot.standin.entities import Channel, ChannelType, Permission, User
from bot.standin.world import World


def sees(world: World, user: User, channel: Channel) -> bool:
    """A DM belongs to two, a private thread to those who have joined it and to moderators."""
    if channel.guild is None:
        return channel.recipient is user
    permissions = world.permissions(user, channel)
    if channel.type is ChannelType.PRIVATE_THREAD and user.id not in channel.members:
        return Permission.MANAGE_THREADS in permissions
    return Permission.VIEW_CHANNEL in permissions


def may(world: World, user: User, channel: Channel, permission: Permission) -> bool:
    """Whether somebody has a permission in a channel that they see."""
    return sees(world, user, channel) and permission in world.permissions(user, channel)


def may_write(world: World, user: User, channel: Channel) -> bool:
    """A locked thread is open to moderators only; an archived one opens by writing."""
    if channel.locked and not may(world, user, channel, Permission.MANAGE_THREADS):
        return False
    needed = Permission.SEND_MESSAGES_IN_THREADS if channel.is_thread else Permission.SEND_MESSAGES
    return may(world, user, channel, needed)


def may_delete_others(world: World, user: User, channel: Channel) -> bool:
    """Moderators in a server; nobody in a DM."""
    return channel.guild is not None and may(world, user, channel, Permission.MANAGE_MESSAGES)
