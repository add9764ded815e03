"""The sentences on who may use the bot where, for members and for the moderators who decide it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bot.core.access import Decision, Denial, GuildDecisions

_SMALL = "-# "
_DENIED = {
    Denial.GUILD: "I don't answer in this server. My owner can change that.",
    Denial.USER: "I'm not allowed to answer you, sorry. My owner can change that.",
    Denial.BLOCKED: "The moderators here asked me not to answer you. They can change that.",
    Denial.PAUSED: "The moderators have paused me here. Please ask again later.",
    Denial.CHANNEL: "I don't answer in this channel. Please ask me in another one.",
    Denial.DIRECT_MESSAGES: "I don't answer direct messages. Please mention me in a server.",
    Denial.UNKNOWN: "Discord takes a while to tell me whether you may use me. Try again in a minute.",
    Denial.NOT_MEMBER: "I only answer direct messages from people in my servers. Please mention me in a server first.",
}
_LISTED = 15
"""The most channels that one sentence names."""

NOT_SAVED = "I can't reach my memory right now, so nothing has changed. Please try again later."
NOT_READ = "I can't reach my memory right now. Please try again later."
PAUSED = (
    "Paused in this server until someone uses /resume. I'll finish what I'm writing; waiting questions are dropped."
)
PAUSED_ALREADY = "I'm already paused. To let me answer again, use /resume."
NOT_PAUSED = "I'm not paused."
EVERYWHERE_ALREADY = "There are no channel rules: I answer everywhere in this server."
TOO_MANY_RULES = "That's as many channel rules as I can keep. **Answer everywhere** in /server clears them."
NOT_OF_THIS_SERVER = "That channel isn't in this server, so nothing has changed. Please pick one that is."
THATS_ME = "That's me. To stop me from answering in this server, use /pause."
BLOCK = "Block"
NOT_A_MODERATOR = "Only people who can manage this server can block someone."
A_BOT = "That's a bot. I never answer bots."


def denied(reason: Denial) -> str:
    """The private answer to somebody who may not use the bot here."""
    return _DENIED[reason]


def author_denied(reason: Denial) -> str:
    """The private answer to a press under a reply to somebody who may not use the bot here."""
    if reason is Denial.UNKNOWN:
        return "I can't check right now whether I may answer the person who asked. Please try again later."
    return "I can't answer the person who asked this any more. Please ask it yourself."


def denied_aloud(reason: Denial) -> str:
    """The public answer to somebody who may not use the bot here."""
    return _SMALL + _DENIED[reason]


def not_served(server_id: int, leaves_at: int, *, owners_are: bool) -> str:
    """The notice to a server that is not served. `owners_are`: whether the servers of the operator are served."""
    if owners_are:
        how = f"join this server, or to add its id to SERVERS in my settings, as in `SERVERS=owner,{server_id}`"
    else:
        how = f"add its id, `{server_id}`, to SERVERS in my settings"
    return (
        "Hi! I don't answer in this server yet: my owner has to allow it. Ask them to"
        f" {how}. Otherwise I'll leave <t:{leaves_at}:R>."
    )


def rules_changed(channels: Mapping[int, bool]) -> str:
    """The answer to a change of the channels in which the bot answers."""
    return f"From now on {_where(channels)} in this server."


def allowed_already(place: int, channels: Mapping[int, bool]) -> str:
    """The answer where a channel is allowed already."""
    return f"<#{place}> is already allowed: {_where(channels)} in this server."


def not_allowed_already(place: int, channels: Mapping[int, bool]) -> str:
    """The answer where a channel is blocked already."""
    return f"I don't answer in <#{place}> anyway: {_where(channels)} in this server."


def last_allowed(place: int) -> str:
    """The answer where the only allowed channel is to be blocked, which would allow all others."""
    return (
        f"Nothing has changed: <#{place}> is the only place where I answer. To stop me in the whole server, use /pause."
        " To let me answer in every channel again, use **Answer everywhere** in /server."
    )


def resumed(channels: Mapping[int, bool]) -> str:
    """The answer to the end of a pause."""
    return f"I'm back: {_where(channels)} in this server."


def blocked(user_id: int, until: int | None) -> str:
    """The answer to a block."""
    how_long = "until someone uses /unblock" if until is None else f"until <t:{until}:f>"
    return f"From now on I don't answer <@{user_id}> in this server, {how_long}."


def unblocked(user_id: int) -> str:
    """The answer to the end of a block."""
    return f"I answer <@{user_id}> in this server again."


def not_blocked(user_id: int) -> str:
    """The answer where somebody who is not blocked is to be unblocked."""
    return f"<@{user_id}> isn't blocked in this server."


def confirm_block(user_id: int, *, oneself: bool) -> str:
    """The question before a block of oneself, or of somebody with a role as high as one's own."""
    if oneself:
        return "That's you. I'd stop answering you in this server. Block yourself?"
    return f"<@{user_id}> has a role as high as yours or higher. Block them anyway?"


def decisions(of_guild: GuildDecisions, listed: int) -> str:
    """The list of what the moderators of a server decided, who did, and when: so many channels and people at most."""
    only = [f"- <#{place}>{decided(by)}" for place, allowed, by in of_guild.channels if allowed]
    never = [f"- <#{place}>{decided(by)}" for place, allowed, by in of_guild.channels if not allowed]
    blocked = [
        f"- <@{user}>{'' if block.until is None else f' until <t:{block.until}:f>'}{decided(by)}"
        for user, block, by in of_guild.blocks
    ]
    sections = []
    if of_guild.paused is not None:
        who = decided(of_guild.paused)
        sections.append([f"I'm paused in this server until someone uses /resume{who}. After that:"])
    if only:
        sections.append(["I answer only here:", *up_to(only, listed)])
        sections.append(["But not here:", *up_to(never, listed)] if never else [])
    elif never:
        sections.append(["I answer everywhere in this server except here:", *up_to(never, listed)])
    else:
        sections.append(["I answer everywhere in this server."])
    sections.append(["I don't answer these people:", *up_to(blocked, listed)] if blocked else [])
    return "\n\n".join("\n".join(lines) for lines in sections if lines)


def decided(decision: Decision) -> str:
    """Who decided something, and when, in brackets; empty where neither is known."""
    by = [] if decision.by is None else [f"<@{decision.by}>"]
    at = [] if decision.at is None else [f"<t:{decision.at}:f>"]
    return f" ({', '.join([*by, *at])})" if by or at else ""


def up_to(lines: Sequence[str], listed: int) -> list[str]:
    """The first lines of a list, and whether there are more."""
    return [*lines[:listed], *(["- and more"] if len(lines) > listed else [])]


def _where(channels: Mapping[int, bool]) -> str:
    only = [f"<#{place}>" for place, allowed in channels.items() if allowed]
    never = [f"<#{place}>" for place, allowed in channels.items() if not allowed]
    if only:
        return f"I answer only in {_listed(only)}{f', but not in {_listed(never)},' if never else ''}"
    return f"I answer everywhere but in {_listed(never)}" if never else "I answer everywhere"


def _listed(names: Sequence[str]) -> str:
    if len(names) > _LISTED:
        return f"{', '.join(names[:_LISTED])} and more"
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
