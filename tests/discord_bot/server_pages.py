"""The pages of /server, as a moderator uses them."""

from __future__ import annotations

from bot.standin.entities import Channel, Message, User, walk_components
from bot.standin.interactions import Interaction
from bot.standin.server import DiscordStandin

ALLOW, BLOCK, EVERYWHERE, LIST = "server allow", "server block", "server everywhere", "server list"


async def overview(discord: DiscordStandin, person: User | None = None, place: Channel | None = None) -> Message:
    """The first page, as Max opens it in #general unless told otherwise."""
    used = await discord.slash(person or discord.max, place or discord.general, "server")
    first = await used.answered()
    assert used.ephemeral
    # Of several messages the last one has the buttons.
    failed = first.content == "I can't reach my memory right now. Please try again later."
    await discord.wait_for(lambda: failed or any(each.components for each in (first, *used.followups)))
    return [first, *used.followups][-1]


async def page_of(discord: DiscordStandin, channel: Channel, person: User | None = None) -> Message:
    """The page of a channel, opened in it if it is a thread."""
    if channel.is_thread:
        message = await overview(discord, person, channel)
        await done(discord, message, await discord.press(person or discord.max, message, id_of(message, "here")))
    else:
        message = await overview(discord, person)
        opened = await discord.choose(person or discord.max, message, id_of(message, "open"), str(channel.id))
        await done(discord, message, opened)
    return message


async def change(discord: DiscordStandin, what: str, channel: Channel | None = None, person: User | None = None) -> str:
    """What a moderator is told who allows or blocks a channel, clears the rules, or has all that is set listed."""
    if what == LIST:
        return (await overview(discord, person)).content.partition("\n\n-# ")[0]
    if what == EVERYWHERE:
        page = await overview(discord, person)
    else:
        page = await page_of(discord, channel or discord.general, person)
    pressed = await discord.press(person or discord.max, page, id_of(page, what.removeprefix("server ")))
    return (await done(discord, page, pressed)).partition("\n\n")[0]


async def choose(
    discord: DiscordStandin, menu: str, value: str, channel: Channel | None = None, person: User | None = None
) -> Message:
    """The page after a choice in a menu of a channel's page, or what was said instead."""
    page = await page_of(discord, channel or discord.general, person)
    chosen = await discord.choose(person or discord.max, page, id_of(page, menu), value)
    await done(discord, page, chosen)
    return await chosen.answered()


async def done(discord: DiscordStandin, page: Message, used: Interaction) -> str:
    """The text that answers a press: of the page as it is then, or of a message of its own."""
    before = len(page.shown)
    await used.acknowledged()
    await discord.wait_for(lambda: not used.deferred or len(page.shown) > before or used.followups)
    return used.followups[-1].content if used.followups else (await used.answered()).content


def id_of(page: Message, action: str) -> str:
    """The id of the button or menu of a page that does this."""
    found = [str(each["custom_id"]) for each in walk_components(page.components) if "custom_id" in each]
    [one] = [each for each in found if each.split(":")[1] == action]
    return one


def offered(page: Message) -> list[str]:
    """What can be done on a page."""
    return [str(each["custom_id"]).split(":")[1] for each in walk_components(page.components) if "custom_id" in each]


def chosen_in(page: Message, menu: str) -> str:
    """The label of what a menu shows as chosen."""
    [found] = [each for each in walk_components(page.components) if each.get("custom_id") == id_of(page, menu)]
    [label] = [option["label"] for option in found["options"] if option.get("default")]
    return str(label)
