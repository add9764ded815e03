"""The sentences of /server: where the bot answers in a server, and how it takes part in each channel."""

from __future__ import annotations

from collections.abc import Sequence

from bot.core.access import Decision
from bot.core.channel_settings import ChannelSettings, WithoutMention
from bot.texts.access import decided, up_to

CHOOSE = "Choose a channel to change"
HERE = "Change this channel"
EVERYWHERE = "Answer everywhere"
ALLOW, BLOCK, BACK = "Allow", "Block", "Back"
NOT_ALLOWED = "Only people who can manage this server can change that."
TOO_MANY_CHANNELS = "That's as many channels as I can keep settings for. Set another one back to the defaults first."
SWITCHED_OFF = (
    "-# To answer without a mention, or to read recent messages, I need Discord's Message Content Intent. My owner can"
    " switch it on."
)
WITHOUT_MENTION = {
    WithoutMention.NEVER: ("Without @: never", "I answer when someone mentions me or replies to me."),
    WithoutMention.THREADS: ("Without @: in my threads", "In threads I answer in, nobody has to mention me."),
    WithoutMention.ALL: ("Without @: in the whole channel", "Nobody has to mention me here."),
}
"""Where the bot answers without a mention: the label of each choice, and what it does."""
RECENT = {
    0: ("Recent messages: none", "I see only what is said to me."),
    10: ("Recent messages: the last 10", "They go along with each question."),
    25: ("Recent messages: the last 25", "They go along with each question."),
}
"""How many messages before a question go along with it: the label of each choice, and what it does."""


def threads(*, needs_mention: bool) -> dict[bool, tuple[str, str]]:
    """Whether questions get threads: the label of each choice, and what it does.

    `needs_mention`: whoever goes on in a thread has to mention the bot.
    """
    go_on = " To go on in it, people mention me or reply to me with the ping on." if needs_mention else ""
    return {
        False: ("Threads: off", "I answer in the channel itself."),
        True: ("Threads: on", f"New questions get a thread.{go_on}"),
    }


def channel_page(place: int, *, answers: bool, parent: int | None, no_threads: bool = False) -> str:
    """What the page of a channel, a thread or a category says. `parent` is a thread's channel.

    `no_threads`: threads are switched on, and the bot may not open any.
    """
    lines = [
        f"**<#{place}>**: " + ("I answer here." if answers else "I don't answer here."),
        f"**{ALLOW}**: I answer only in allowed channels, and this is one. If it was blocked, that ends.",
        f"**{BLOCK}**: I stop answering here.",
    ]
    if parent is not None:
        lines.append(f"What is set for <#{parent}> holds here too.")
    if no_threads:
        lines.append(
            "I can't open threads here yet. Give me **Create Public Threads** and **Send Messages in Threads** in the"
            " channel's permissions."
        )
    return "\n".join(lines)


def takes_part(
    settings: Sequence[tuple[int, ChannelSettings, Decision]], *, message_content: bool, listed: int
) -> list[str]:
    """The lines on how the bot takes part in channels, with who decided it and when. Without settings there are none.

    `message_content` tells whether it may read what does not mention it.
    """
    lines = [
        f"- <#{place}>: {', '.join(parts)}{decided(by)}"
        for place, each, by in settings
        if (parts := _parts(each, message_content=message_content))
    ]
    return ["How I take part:", *up_to(lines, listed)] if lines else []


def _parts(settings: ChannelSettings, *, message_content: bool) -> list[str]:
    parts = {
        WithoutMention.THREADS: "without @ in my threads",
        WithoutMention.ALL: "without @ in the whole channel",
    }
    found = [parts[settings.without_mention]] if message_content and settings.without_mention in parts else []
    if message_content and settings.recent:
        found.append(f"with the last {settings.recent} messages")
    if settings.threads:
        found.append("new questions in threads")
    return found


def reads_recent(moderator: str, count: int, providers: Sequence[str], *, mentioned: bool) -> str:
    """The announcement that recent messages go along with questions. `mentioned`: only with those that mention it."""
    when = "when someone mentions me" if mentioned else "when someone asks me something"
    return (
        f"{moderator} lets me read the last {count} messages here {when}. They go to {' and '.join(providers)}. I don't"
        " save them, but my answers may repeat them. /settings leaves yours out."
    )


ABOUT_ME = "How I take part in this forum"


def answers_without_mention(moderator: str, *, whole_channel: bool, in_posts: bool = False) -> str:
    """The announcement that nobody has to mention the bot in a channel, in its threads or in a forum's posts."""
    if in_posts:
        where = "in all posts here" if whole_channel else "in the posts here that I have answered in"
    else:
        where = "here" if whole_channel else "in my threads here"
    return (
        f"{moderator} lets me answer {where} without a mention. What mentions or replies to someone else isn't for me."
    )


def not_announced(place: int) -> str:
    """The answer where people could not be told, so that nothing is switched on."""
    return f"Nothing has changed: I have to tell people in <#{place}> first, and I can't write there."
