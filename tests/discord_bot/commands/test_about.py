"""Ask about this: a question about any message, by the command in its menu."""

from __future__ import annotations

import asyncio
import math
import sys
from collections.abc import Awaitable, Callable

import pytest

from bot.core.queues import QueueLimits
from bot.core.quotas import Quotas
from bot.discord_bot.inbound import targets
from bot.discord_bot.inbound.targets import Targets
from bot.standin.entities import Attachment, Message, Permission, User, voice_message
from bot.standin.faults import DOWNLOAD, Call, ServerError, Slow, Twice
from bot.standin.interactions import Interaction
from bot.standin.model import ModelStandin
from bot.standin.script import Reply
from bot.standin.server import DiscordStandin
from bot.standin.transcribing import Transcript
from tests.discord_bot.conftest import Launch, Start, World
from tests.discord_bot.inbound.leftovers import POSTS
from tests.discord_bot.people import shown
from tests.files.samples import voice
from tests.pictures import png
from tests.places import on_discord
from tests.talking import question_of

NAME = "Ask about this"
POEM = "tyger tyger burning bright"
ACCEPTED = "I'm answering in reply to that message."
OPEN_AGAIN = "I don't have that message any more. Open it again: in the message's menu, choose Apps and Ask about this."


async def opened(discord: DiscordStandin, said: Message, person: User | None = None) -> Interaction:
    """The form that Bo gets for a message, unless told otherwise, or what is answered in its place."""
    used = await discord.context_menu(person or discord.bo, NAME, said, said.channel)
    return await used.acknowledged()


async def asked(discord: DiscordStandin, said: Message, text: str = "", person: User | None = None) -> Interaction:
    form = await opened(discord, said, person)
    return await discord.submit(form, text=text)


async def ended(world: World, said: Message, count: int = 1) -> Message:
    """The newest reply to a message, once there are so many and nothing is under way."""
    await world.discord.wait_for(lambda: len(replies(world.discord, said)) == count)
    await world.idle()
    return replies(world.discord, said)[-1]


def replies(discord: DiscordStandin, said: Message) -> list[Message]:
    return [each for each in discord.bot_messages(said.channel) if each.reply_to is said]


async def test_a_question_about_a_message_is_a_turn_like_any_other(world: World) -> None:
    discord = world.discord
    said = await discord.say(discord.general, discord.cleo, f"{POEM} {discord.max.mention}")
    world.model.script.append(Reply("It's by Blake."))
    used = await asked(discord, said, "Who is this by?")
    assert (await used.answered()).content == ACCEPTED
    assert used.ephemeral
    reply = await ended(world, said)
    assert reply.content == "It's by Blake.\n-# Bo asked: “Who is this by?”"
    assert reply.mentions == [], "neither the author of the message nor anybody in it is pinged"
    assert question_of(world.model.requests[0]).splitlines() == [
        "[Bo (@bo)]",
        "⟦In reply to Cleo (@cleo):⟧",
        f"> {POEM} @Max",
        "",
        "Who is this by?",
    ]
    await world.answered("And when?")
    contents = [message["content"] for message in world.model.requests[1].messages]
    assert any(POEM in content for content in contents[:-1])
    assert any("It's by Blake." in content for content in contents)


async def test_who_wants_to_be_pinged_is_and_the_author_of_the_message_is_not(world: World) -> None:
    discord = world.discord
    settings = await discord.slash(discord.bo, discord.general, "settings")
    await (await world.press(await settings.answered(), button="settings:ping:always")).acknowledged()
    said = await discord.say(discord.general, discord.cleo, POEM)
    world.model.script.append(Reply(["It's ", "by ", "Blake."], tokens_per_second=10))
    await asked(discord, said, "Who?")
    reply = await ended(world, said)
    assert reply.pinged == {discord.bo}
    assert reply.content == "It's by Blake.\n-# Bo asked: “Who?”"


@pytest.mark.parametrize("private", [False, True])
async def test_without_a_question_the_message_itself_is_asked(world: World, private: bool) -> None:
    discord = world.discord
    place = discord.open_dm(discord.bo) if private else discord.general
    said = await world.answered("name a poem") if not private else await discord.say(place, discord.bo, POEM)
    world.model.default = Reply("That one.")
    if private:
        await world.reply(place)
        await world.idle()
    count = len(world.model.requests)
    await asked(discord, said)
    reply = await ended(world, said, 2 if private else 1)
    assert reply.content == ("That one." if private else "That one.\n-# Bo asked about this.")
    lines = question_of(world.model.requests[count]).splitlines()
    assert lines[-1].startswith("> ")
    assert ("⟦In reply to you:⟧" in lines) is not private


async def test_two_people_ask_about_the_same_message_at_once(world: World) -> None:
    discord = world.discord
    said = await discord.say(discord.general, discord.cleo, POEM)
    world.model.default = Reply(lambda messages: f"To {messages[-1].content.splitlines()[-1]}", first_token_after=0.2)
    await asyncio.gather(asked(discord, said, "Who?"), asked(discord, said, "When?", discord.max))
    await ended(world, said, 2)
    assert sorted(each.content.splitlines()[0] for each in replies(discord, said)) == ["To When?", "To Who?"]


async def test_an_event_that_comes_twice_is_answered_once(world: World) -> None:
    discord = world.discord
    said = await discord.say(discord.general, discord.cleo, POEM)
    form = await opened(discord, said)
    discord.faults.add(Twice(), event="INTERACTION_CREATE")
    assert (await (await discord.submit(form, text="Who?")).answered()).content in (ACCEPTED, OPEN_AGAIN)
    await ended(world, said)
    assert len(world.model.requests) == 1


async def test_a_form_that_is_submitted_twice_is_answered_once(world: World) -> None:
    """Discord's apps say that something went wrong when an answer takes long, and keep the form open."""
    discord = world.discord
    said = await discord.say(discord.general, discord.cleo, POEM)
    form = await opened(discord, said)
    both = await asyncio.gather(*(discord.submit(form, text="Who?") for _ in range(2)))
    told = [(await each.answered()).content for each in both]
    assert told.count(ACCEPTED) == 1
    assert {*told} <= {ACCEPTED, OPEN_AGAIN, "I have that question already. I'm answering in reply to the message."}
    await ended(world, said)
    assert len(world.model.requests) == 1


FILES = {
    "12:01 broke": Attachment("app.log", b"12:01 broke"),
    "image_url": Attachment("cat.png", png(64, 48, (200, 30, 40)), "image/png"),
    "> What rhymes?": voice_message(voice(3), 3.1),
}


@pytest.mark.parametrize("content", FILES)
async def test_files_of_the_message_are_read_as_those_of_a_quote(start: Start, content: str) -> None:
    async with start(transcription_model="ears") as world:
        discord = world.discord
        world.model.transcriptions.default = Transcript("What rhymes?")
        said = await discord.say(discord.general, discord.cleo, "", attachments=[FILES[content]])
        world.model.default = Reply("I see.")
        await asked(discord, said, "What is this?")
        reply = await ended(world, said)
        heard = "\n-# I heard: “What rhymes?”" if "rhymes" in content else ""
        assert reply.content == f"I see.\n-# Bo asked: “What is this?”{heard}"
        assert content in str(world.model.requests[0].messages[-1]["content"])


@pytest.mark.parametrize("question", ["", "What is this?"])
async def test_a_voice_message_that_cannot_be_heard_counts_only_if_nothing_else_is_asked(
    world: World, question: str
) -> None:
    discord = world.discord
    said = await discord.say(discord.general, discord.cleo, "", attachments=[voice_message(voice(3), 3.1)])
    world.model.default = Reply("No idea.")
    await asked(discord, said, question)
    reply = await ended(world, said)
    if question:
        assert reply.content.startswith("No idea.\n-# Bo asked: “What is this?”\n-# I can't read the voice message")
    else:
        told = "I can't listen to voice messages here. Please write it instead."
        assert reply.content == f"-# Bo asked about this.\n-# {told}"


NO_WRITING = "I can't write in this channel. Ask its moderators to allow it, or ask me in another channel."


async def blocked(world: World, said: Message) -> str:
    await (await world.discord.slash(world.discord.max, said.channel, "block", member=world.discord.bo)).answered()
    return "The moderators here asked me not to answer you. They can change that."


async def paused(world: World, said: Message) -> str:
    await (await world.discord.slash(world.discord.max, said.channel, "pause")).answered()
    return "The moderators have paused me here. Please ask again later."


async def may_not_write(world: World, said: Message) -> str:
    world.discord.deny(said.channel, Permission.SEND_MESSAGES)
    return NO_WRITING


async def may_not_write_themselves(world: World, said: Message) -> str:
    world.discord.deny(said.channel, Permission.SEND_MESSAGES, world.discord.bo)
    return "You can't write in this channel, so I can't answer you here. Ask me in another channel."


async def only_theirs(world: World, said: Message) -> str:
    return "Only you can see that message, and my answer would be public. Pick another one."


async def says_nothing(world: World, said: Message) -> str:
    return "There's nothing in that message that I can read. Pick another one."


async def is_deleted(world: World, said: Message) -> str:
    await world.discord.delete(said)
    return "That message was deleted, so I can't answer about it."


async def is_too_late(world: World, said: Message) -> str:
    return OPEN_AGAIN


Refused = Callable[[World, Message], Awaitable[str]]


@pytest.mark.parametrize("when", ["before the form", "after it"])
@pytest.mark.parametrize("why", [blocked, paused, may_not_write, may_not_write_themselves])
async def test_who_may_not_ask_here_is_told_in_private(world: World, why: Refused, when: str) -> None:
    discord = world.discord
    said = await discord.say(discord.general, discord.cleo, POEM)
    if when == "before the form":
        sentence = await why(world, said)
        answer = await opened(discord, said)
        assert answer.modal is None
    else:
        form = await opened(discord, said)
        sentence = await why(world, said)
        answer = await discord.submit(form, text="Who?")
    assert (await answer.answered()).content == sentence
    assert answer.ephemeral
    assert world.model.requests == []
    assert await world.turns(discord.general) == []


@pytest.mark.parametrize("why", [only_theirs, says_nothing])
async def test_a_message_that_cannot_be_answered_to_gets_no_form(world: World, why: Refused) -> None:
    discord = world.discord
    if why is only_theirs:
        said = await (await discord.slash(discord.bo, discord.general, "help")).answered()
    else:
        said = await discord.say(discord.general, discord.cleo, discord.bot.mention, type=7)
        said.content = ""
    answer = await opened(discord, said)
    assert (answer.modal, answer.content) == (None, await why(world, said))


async def test_a_locked_thread_gets_no_form_and_an_archived_one_opens_again(world: World) -> None:
    discord = world.discord
    thread = await discord.open_thread(discord.general, "poems", discord.cleo)
    said = await discord.say(thread, discord.cleo, POEM)
    discord.world.update_thread(thread, archived=True, locked=True)
    answer = await opened(discord, said)
    assert (answer.modal, answer.content) == (None, NO_WRITING)
    discord.world.update_thread(thread, archived=True, locked=False)
    await asked(discord, said, "Who?")
    await ended(world, said)
    assert not thread.archived


@pytest.mark.parametrize("why", [is_deleted, is_too_late])
async def test_a_form_whose_message_is_not_there_any_more(
    world: World, monkeypatch: pytest.MonkeyPatch, why: Refused
) -> None:
    discord = world.discord
    said = await discord.say(discord.general, discord.cleo, POEM)
    if why is is_too_late:
        monkeypatch.setattr(targets, "KEPT_FOR", 0.0)
    form = await opened(discord, said)
    sentence = await why(world, said)
    answer = await discord.submit(form, text="Who?")
    assert (await answer.answered()).content == sentence
    assert world.model.requests == []


async def test_a_form_from_before_a_restart_is_to_be_opened_again(start: Start) -> None:
    async with start() as world:
        discord = world.discord
        said = await discord.say(discord.general, discord.cleo, POEM)
        form = await opened(discord, said)
    async with start() as world:
        assert (await (await discord.submit(form, text="Who?")).answered()).content == OPEN_AGAIN


async def test_quotas_and_queues_hold_and_are_told_in_private(start: Start) -> None:
    limits = QueueLimits(queue_per_user=1)
    async with start(allowances=Quotas(3, 10**9, 10**9, 10**9), limits=limits) as world:
        discord = world.discord
        said = await discord.say(discord.general, discord.cleo, POEM)
        world.model.script.append(Reply("Slowly.", first_token_after=0.5))
        told = [(await (await asked(discord, said)).answered()).content for _ in range(3)]
        assert told == [ACCEPTED, ACCEPTED, "I have too much to do right now. Please try again in a minute."]
        await ended(world, said, 2)
        await asked(discord, said)
        await ended(world, said, 3)
        used = await asked(discord, said)
        assert (await used.answered()).content.startswith("You've used your 3 questions for this hour. More <t:")


async def test_deleting_the_message_takes_the_turn_along(world: World) -> None:
    discord = world.discord
    said = await discord.say(discord.general, discord.cleo, POEM)
    await asked(discord, said, "Who?")
    await ended(world, said)
    await discord.delete(said)
    await world.until(lambda: world.turns(discord.general), [])
    said = await discord.say(discord.general, discord.cleo, POEM)
    world.model.default = Reply([f"word{n} " for n in range(400)], tokens_per_second=60)
    await asked(discord, said, "Who?")
    await discord.wait_for(lambda: replies(discord, said))
    await discord.delete(said)
    await world.idle()
    assert not replies(discord, said), "as with a question that is deleted"
    assert await world.turns(discord.general) == []


async def test_an_edit_of_the_message_does_not_rewrite_the_question(world: World) -> None:
    discord = world.discord
    said = await world.ask(POEM, author=discord.cleo)
    await ended(world, said)
    await asked(discord, said, "Who?")
    await ended(world, said, 2)
    await discord.edit(said, f"{discord.bot.mention} another poem")
    await world.until(lambda: prompts(world), ["another poem", f"⟦In reply to Cleo (@cleo):⟧\n> {POEM}\n\nWho?"])


async def prompts(world: World) -> list[str]:
    return [prompt for prompt, _, _ in await world.turns(world.discord.general)]


async def test_forgetting_takes_the_quote_or_the_whole_turn(world: World) -> None:
    discord = world.discord
    cat = Attachment("cat.png", png(64, 48, (200, 30, 40)), "image/png")
    said = await discord.say(discord.general, discord.cleo, POEM, attachments=[cat])
    await asked(discord, said, "Who?")
    await ended(world, said)
    await forget_me(world, discord.cleo)
    assert await prompts(world) == ["⟦They are replying to a message that was forgotten.⟧\n\nWho?"]
    [turn] = await world.store.turns.history(on_discord(discord.general.id), 1)
    assert await world.store.pictures.of_turns([turn.id]) == {}, "the picture is part of the quote"
    await forget_me(world, discord.bo)
    assert await prompts(world) == []


async def forget_me(world: World, person: User) -> None:
    question = await (await world.discord.slash(person, world.discord.general, "forget-me")).answered()
    await (await world.press(question, person, question.buttons[0]["custom_id"])).acknowledged()
    await world.until(lambda: "orgotten" in question.content)


async def before_the_post(discord: DiscordStandin, model: ModelStandin) -> None:
    await model.request(0)


async def in_mid_stream(discord: DiscordStandin, model: ModelStandin) -> None:
    await discord.wait_for(lambda: shown(discord) and "word9" in shown(discord)[0])


@pytest.mark.skipif(sys.platform == "win32", reason="a kill of POSIX")
@pytest.mark.parametrize("phase", [before_the_post, in_mid_stream])
async def test_one_whole_reply_after_a_kill(
    discord: DiscordStandin,
    model: ModelStandin,
    launch: Launch,
    start: Start,
    phase: Callable[[DiscordStandin, ModelStandin], Awaitable[None]],
) -> None:
    model.script.append(
        Reply(
            [f"word{n} " for n in range(400)],
            tokens_per_second=60,
            first_token_after=0 if phase is in_mid_stream else 3600,
        )
    )
    async with launch() as process:
        await discord.ready()
        await discord.wait_for(lambda: discord.commands.registered(None))
        said = await discord.say(discord.general, discord.cleo, POEM, attachments=[FILES["12:01 broke"]])
        await asked(discord, said, "Who?")
        await phase(discord, model)
        process.kill()
        await process.wait()
    model.default = Reply("The whole answer.")
    async with start() as world:
        await discord.wait_for(lambda: shown(discord) == ["The whole answer.\n-# Bo asked: “Who?”"])
        await world.idle()
    [reply] = discord.bot_messages(discord.general)
    assert reply.reply_to is said
    assert question_of(model.requests[-1]).endswith("\n> ⟦end of file⟧\n\nWho?"), "it was read before the kill"


@pytest.mark.skipif(sys.platform == "win32", reason="a kill of POSIX")
@pytest.mark.parametrize(
    ("attached", "told"),
    [
        ("image_url", "I lost the image. Ask about it again (cat.png)."),
        ("12:01 broke", "I couldn't download app.log. Try sending it again."),
    ],
)
async def test_a_file_that_a_kill_has_lost_is_not_said_to_be_gone(
    discord: DiscordStandin, model: ModelStandin, launch: Launch, start: Start, attached: str, told: str
) -> None:
    async with launch() as process:
        await discord.ready()
        await discord.wait_for(lambda: discord.commands.registered(None))
        said = await discord.say(discord.general, discord.cleo, POEM, attachments=[FILES[attached]])
        slow = discord.faults.add(Slow(3600), route=DOWNLOAD)
        await asked(discord, said, "Who?")
        await discord.wait_for(lambda: slow.hits)
        process.kill()
        await process.wait()
    discord.faults.clear()
    model.default = Reply("The whole answer.")
    async with start() as world:
        await discord.wait_for(lambda: "The whole answer." in "".join(shown(discord)))
        await world.idle()
    [reply] = replies(discord, said)
    assert told in reply.content


@pytest.mark.skipif(sys.platform == "win32", reason="a kill of POSIX")
@pytest.mark.parametrize("second", ["Ada", "Bo"], ids=["of two people", "of two people with one name"])
async def test_after_a_kill_each_of_two_questions_about_a_message_has_its_answer(
    discord: DiscordStandin, model: ModelStandin, launch: Launch, start: Start, second: str
) -> None:
    """The first one's post did not take effect, and the answer to the second one's was lost."""
    other = discord.ada if second == "Ada" else discord.add_user("another", "Bo")
    model.default = Reply([f"word{n} " for n in range(400)], tokens_per_second=60)
    async with launch() as process:
        await discord.ready()
        await discord.wait_for(lambda: discord.commands.registered(None))
        said = await discord.say(discord.general, discord.cleo, POEM)
        nonces: list[object] = []

        def of_the_first(call: Call) -> bool:
            assert isinstance(call.body, dict)
            nonces.append(call.body["nonce"])
            return bool(nonces[-1] == nonces[0])

        failed = discord.faults.add(ServerError(503), method="POST", route=POSTS, times=math.inf, when=of_the_first)
        await asked(discord, said, "Who?")
        await discord.wait_for(lambda: failed.hits)
        discord.faults.add(Slow(3600, applied=True), method="POST", route=POSTS)
        await asked(discord, said, "Who?", other)
        await discord.wait_for(lambda: replies(discord, said))
        process.kill()
        await process.wait()
    discord.faults.clear()
    model.default = Reply("The whole answer.")
    [left] = replies(discord, said)
    async with start() as world:
        both = [f"The whole answer.\n-# {who} asked: “Who?”" for who in ("Bo", second)]
        await discord.wait_for(lambda: sorted(shown(discord)) == sorted(both))
        await world.idle()
    assert sorted(each.content for each in replies(discord, said)) == sorted(both)
    assert f"-# {second} asked" in left.content


async def test_a_flood_of_forms_is_kept_within_bounds(world: World) -> None:
    discord = world.discord
    said = await discord.say(discord.general, discord.cleo, POEM)
    first = await opened(discord, said, discord.max)
    forms = [await opened(discord, said) for _ in range(6)]
    answers = [(await (await discord.submit(form)).answered()).content for form in forms]
    assert answers == [OPEN_AGAIN] * 3 + [ACCEPTED] * 3
    assert (await (await discord.submit(first)).answered()).content == ACCEPTED, "nobody drops those of others"
    await ended(world, said, 4)


def test_the_oldest_message_goes_when_there_are_too_many() -> None:
    kept, message = Targets(), object()
    for number in range(2000):
        kept.keep(number, number, message)  # type: ignore[arg-type]
    assert [number for number in range(2000) if kept.of(number, number)] == list(range(1500, 2000))
    assert kept.of(1999, 1) is None, "it is somebody else's form"
