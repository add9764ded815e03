"""Questions that are answered in a thread on them, as the people in the channel see it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from bot.core.queues import QueueLimits
from bot.core.quotas import Quotas
from bot.core.records import Ping
from bot.standin.entities import Channel, ChannelType, Message, MessageType, Permission
from bot.standin.faults import Lost, Refused, ServerError, Vanished
from bot.standin.interactions import Interaction
from bot.standin.script import Reply
from bot.standin.server import DiscordStandin
from bot.texts.threads import GO_ON, NOT_ALLOWED, NOT_OPENED
from tests.discord_bot.commands.test_privacy import asked_to_forget, file, press
from tests.discord_bot.conftest import Start, World
from tests.discord_bot.people import shown
from tests.places import on_discord

THREADS = "/channels/{channel_id}/messages/{message_id}/threads"
POSTS = "/channels/{channel_id}/messages"
pytestmark = pytest.mark.usefixtures("echo")


async def switch_on(world: World, channel: Channel | None = None) -> None:
    """Have new questions in a channel, or in #general, answered in threads."""
    place = channel or world.discord.general
    assert place.guild is not None
    await world.store.channel_settings.change(place.guild.id, place.id, by=world.discord.max.id, threads=True)


def thread_on(question: Message) -> Channel:
    assert question.thread is not None
    return question.thread


async def test_a_new_question_is_answered_in_a_thread_on_it(world: World, discord: DiscordStandin) -> None:
    await switch_on(world)
    question = await world.ask_and_wait("Why is the **night sky** dark? See https://example.org/olbers")
    thread = thread_on(question)
    assert (thread.id, thread.name, thread.owner) == (question.id, "Why is the night sky dark? See", discord.bot)
    [answer] = discord.bot_messages(thread)[1:]
    assert answer.content == f"To Why is the **night sky** dark? See https://example.org/olbers.\n{GO_ON}"
    assert shown(discord) == []
    assert discord.calls("POST", POSTS)[0].body.get("message_reference") is None
    # It belongs to the thread's conversation, and what is asked there goes on from it.
    assert await world.turns(discord.general) == []
    await world.ask_and_wait("and why blue by day?", thread)
    assert [prompt for prompt, _, _ in await world.turns(thread)][1:] == ["and why blue by day?"]
    request = world.model.requests[-1]
    assert [message["role"] for message in request.messages] == ["system", "user", "assistant", "user"]
    # Said once.
    assert [GO_ON in each for each in shown(discord, thread)[1:]] == [True, False]


async def test_other_messages_open_no_thread(world: World, discord: DiscordStandin) -> None:
    await switch_on(world)
    said = await discord.say(discord.general, discord.cleo, "the sky is dark")
    reply = await discord.say(discord.general, discord.bo, f"{discord.bot.mention} why?", reply_to=said)
    await world.taken(reply)
    elsewhere = await world.ask_and_wait("why?", discord.random_channel)
    in_dm = await world.ask_and_wait("why?", discord.open_dm(discord.bo))
    side = await discord.open_thread(discord.general, "side", discord.bo)
    in_thread = await world.ask_and_wait("why?", side)
    for each in (reply, elsewhere, in_dm, in_thread):
        assert each.thread is None
        assert len(discord.bot_messages(each.channel)) == 1
    by_command = await discord.slash(discord.bo, discord.general, "ask", question="and why?")
    await discord.wait_for(lambda: "and why?" in (by_command.content or ""))
    await world.idle()
    assert not discord.calls("POST", THREADS)


async def test_a_picture_without_words_has_a_title(world: World, discord: DiscordStandin) -> None:
    await switch_on(world)
    question = await discord.say(discord.general, discord.bo, discord.bot.mention, stickers=["wave"])
    await world.taken(question)
    assert thread_on(question).name == "A question from Bo"


@pytest.mark.parametrize("missing", [Permission.CREATE_PUBLIC_THREADS, Permission.SEND_MESSAGES_IN_THREADS])
async def test_without_the_right_it_answers_in_the_channel(
    world: World, discord: DiscordStandin, missing: Permission
) -> None:
    await switch_on(world)
    discord.deny(discord.general, missing)
    question = await world.ask_and_wait("why?")
    assert question.thread is None
    [answer] = discord.bot_messages(discord.general)
    assert (answer.reply_to, answer.content) == (question, f"To why?.\n{NOT_ALLOWED}")
    assert await world.turns(discord.general) == [("why?", "To why?.", "complete")]
    assert not discord.calls("POST", THREADS)


@pytest.mark.parametrize(
    "fault",
    [
        Refused(400, 160006, "Maximum number of active threads reached"),
        Refused(400, 20016, "This action cannot be performed due to slowmode rate limit"),
        Refused(403, 50013, "Missing Permissions"),
        ServerError(503),
    ],
    ids=lambda fault: str(getattr(fault, "code", 503)),
)
async def test_where_discord_opens_no_thread_it_answers_in_the_channel(
    world: World, discord: DiscordStandin, fault: Refused | ServerError
) -> None:
    await switch_on(world)
    discord.faults.add(fault, method="POST", route=THREADS)
    question = await world.ask_and_wait("why?")
    [answer] = discord.bot_messages(discord.general)
    assert (answer.reply_to, answer.content) == (question, f"To why?.\n{NOT_OPENED}")
    assert await world.turns(discord.general) == [("why?", "To why?.", "complete")]
    # The next one is tried again.
    assert thread_on(await world.ask_and_wait("and now?"))


async def test_slow_mode_slows_people_only(world: World, discord: DiscordStandin) -> None:
    discord.world.slow_down(discord.general, 3600)
    await switch_on(world)
    question = await world.ask_and_wait("why?")
    assert len(discord.bot_messages(thread_on(question))) == 2


async def test_a_thread_that_somebody_else_was_faster_to_open_is_taken(world: World, discord: DiscordStandin) -> None:
    await switch_on(world)
    said = await discord.say(discord.general, discord.bo, "why?")
    theirs = await discord.open_thread(discord.general, "Cleo's", discord.cleo, message=said)
    await discord.edit(said, f"{discord.bot.mention} why?")
    await world.taken(said)
    assert [each.content for each in discord.bot_messages(theirs)] == [f"To why?.\n{GO_ON}"]
    assert theirs.name == "Cleo's"


async def test_a_locked_thread_on_the_question_takes_no_answer(world: World, discord: DiscordStandin) -> None:
    await switch_on(world)
    said = await discord.say(discord.general, discord.bo, "why?")
    theirs = await discord.open_thread(discord.general, "Cleo's", discord.cleo, message=said)
    discord.world.update_thread(theirs, archived=False, locked=True)
    await discord.edit(said, f"{discord.bot.mention} why?")
    await world.taken(said)
    assert (shown(discord, theirs), shown(discord)) == ([], [f"To why?.\n{NOT_OPENED}"])


async def test_two_people_at_once_have_two_threads(world: World, discord: DiscordStandin) -> None:
    await switch_on(world)
    questions = await asyncio.gather(world.ask("one?", author=discord.bo), world.ask("two?", author=discord.cleo))
    for question in questions:
        await world.taken(question)
    assert [shown(discord, thread_on(each))[1] for each in questions] == [
        f"To one?.\n{GO_ON}",
        f"To two?.\n{GO_ON}",
    ]


async def test_one_persons_questions_are_answered_in_turn_and_a_flood_opens_no_threads(
    start: Start, discord: DiscordStandin
) -> None:
    async with start(limits=QueueLimits(queue_per_user=2)) as world:
        await switch_on(world)
        world.model.script.append(Reply("never", first_token_after=3600))
        questions = [await world.ask(f"{number}?") for number in range(6)]
        # One is told, the others are marked.
        await discord.wait_for(lambda: sum("🕒" in each.reactions for each in questions) == 2 and shown(discord))
        assert "earlier questions" in shown(discord)[0]
        assert [each.thread is not None for each in questions] == [True, True, True, False, False, False]
        await discord.delete(questions[0])
        for each in questions[1:]:
            await world.taken(each)
        assert [each.messages[-1]["content"].splitlines()[-1] for each in world.model.requests] == ["0?", "1?", "2?"]
        assert len(discord.calls("POST", THREADS)) == 3


async def test_a_refused_question_opens_no_thread(start: Start, discord: DiscordStandin) -> None:
    allowances = Quotas(
        hourly_questions_per_user=1, daily_tokens_per_user=None, daily_tokens_per_server=None, daily_tokens_total=None
    )
    async with start(allowances=allowances) as world:
        await switch_on(world)
        first, second = await world.ask_and_wait("one?"), await world.ask_and_wait("two?")
        assert (thread_on(first).id, second.thread) == (first.id, None)
        [refusal] = discord.bot_messages(discord.general)
        assert (refusal.reply_to, "your question for this hour" in refusal.content) == (second, True)


def _deletes_the_question(discord: DiscordStandin, question: Message) -> None:
    discord.world.delete(question)


def _deletes_the_thread(discord: DiscordStandin, question: Message) -> None:
    discord.world.delete_channel(thread_on(question))


@pytest.mark.parametrize("delete", [_deletes_the_question, _deletes_the_thread])
@pytest.mark.parametrize("when", ["at once", "while it is written", "afterwards"])
async def test_what_people_delete_is_forgotten(
    world: World, discord: DiscordStandin, delete: Callable[[DiscordStandin, Message], None], when: str
) -> None:
    await switch_on(world)
    world.model.script.append(
        Reply(["word "] * 400, first_token_after=0.3, tokens_per_second=50 if when != "afterwards" else None)
    )
    question = await world.ask("why?")
    await discord.wait_for(lambda: question.thread)
    thread = thread_on(question)
    if when == "afterwards":
        await world.taken(question)
    elif when == "while it is written":
        await discord.wait_for(lambda: "word" in "".join(shown(discord, thread)))
    else:
        await world.asked(0)
    delete(discord, question)
    await world.idle()
    await world.until(lambda: world.turns(thread), [])
    assert shown(discord) == []
    if when != "afterwards" and delete is _deletes_the_question:
        assert [each.type for each in discord.bot_messages(thread)] == [MessageType.THREAD_STARTER]
    assert await world.store.conversations.shares(on_discord(thread.id), discord.bo.id) is not None


@pytest.mark.parametrize("what", ["message", "channel"])
async def test_a_question_that_vanishes_before_its_thread_is_not_answered(
    world: World, discord: DiscordStandin, what: str
) -> None:
    await switch_on(world)
    discord.faults.add(Vanished(what), method="POST", route=THREADS)  # type: ignore[arg-type]
    question = await world.ask("why?")
    await world.taken(question)
    assert shown(discord) == []
    assert await world.turns(discord.general) == []


async def test_reset_in_the_thread_forgets_the_thread_only(world: World, discord: DiscordStandin) -> None:
    await switch_on(world)
    one, two = await world.ask_and_wait("one?"), await world.ask_and_wait("two?")
    await (await discord.slash(discord.bo, thread_on(one), "reset")).acknowledged()
    await world.until(lambda: world.turns(thread_on(one)), [])
    assert len(await world.turns(thread_on(two))) == 1
    await world.ask_and_wait("and three?", thread_on(one))
    assert [message["role"] for message in world.model.requests[-1].messages] == ["system", "user"]


@pytest.mark.parametrize("in_thread", [False, True])
async def test_stop_works_where_it_was_asked_and_in_the_thread(
    world: World, discord: DiscordStandin, in_thread: bool
) -> None:
    await switch_on(world)
    world.model.script.append(Reply(["word "] * 400, tokens_per_second=50))
    question = await world.ask("why?")
    await discord.wait_for(lambda: question.thread and "word" in "".join(shown(discord, question.thread)))
    await discord.slash(discord.bo, thread_on(question) if in_thread else discord.general, "stop")
    await world.taken(question)
    assert "Stopped by Bo." in shown(discord, thread_on(question))[-1]


async def test_a_wait_shows_on_the_question_and_the_answer_pings_in_the_thread(
    start: Start, discord: DiscordStandin
) -> None:
    async with start(limits=QueueLimits(max_replies_per_conversation=1)) as world:
        await switch_on(world)
        await world.store.person_settings.set_ping(discord.cleo.id, Ping.ALWAYS)
        world.model.script += [Reply(["word "] * 500, tokens_per_second=100), Reply("At last.")]
        await world.ask("long?", author=discord.bo)
        await world.asked(0)
        waiting = await world.ask("short?", author=discord.cleo)
        await discord.wait_for(lambda: "⏳" in waiting.reactions)
        await world.taken(waiting)
        await discord.wait_for(lambda: "⏳" not in waiting.reactions)
        answer = discord.bot_messages(thread_on(waiting))[-1]
        assert answer.content == f"At last.\n{GO_ON}"
        assert answer.pinged == {discord.cleo}


async def test_news_channels_have_threads_of_their_own(world: World, discord: DiscordStandin) -> None:
    news = discord.world.add_channel(discord.guild, "news", ChannelType.NEWS)
    await switch_on(world, news)
    question = await world.ask_and_wait("why?", news)
    assert thread_on(question).type is ChannelType.NEWS_THREAD
    assert len(discord.bot_messages(thread_on(question))) == 2


async def test_a_forums_posts_are_answered_in_them(world: World, discord: DiscordStandin) -> None:
    forum = discord.add_forum("help")
    post = await discord.open_post(forum, "My boat leaks", discord.bo, f"{discord.bot.mention} help!")
    await world.taken(post)
    [answer] = discord.bot_messages(post.channel)
    assert (answer.reply_to, answer.content) == (post, "To help!.")
    await world.ask_and_wait("and the sail?", post.channel, discord.cleo)
    assert [prompt for prompt, _, _ in await world.turns(post.channel)] == ["help!", "and the sail?"]
    assert post.channel.name == "My boat leaks"
    await discord.delete(post)
    await world.until(lambda: world.turns(post.channel), [("and the sail?", "To and the sail?.", "complete")])


LOCKED = "-# <#{}> is locked, so I can't answer there. Ask me here instead."
NOT_THERE = "-# I may not write in <#{}>. Ask me here instead."


@pytest.mark.parametrize("sentence", [LOCKED, NOT_THERE])
async def test_where_it_cannot_write_in_a_thread_it_says_so_in_the_channel(
    world: World, discord: DiscordStandin, sentence: str
) -> None:
    thread = await discord.open_thread(discord.general, "side", discord.ada)
    if sentence == LOCKED:
        discord.world.update_thread(thread, locked=True)
    else:
        discord.deny(discord.general, Permission.SEND_MESSAGES_IN_THREADS)
    await world.taken(await world.ask("why?", thread, discord.ada))
    assert shown(discord) == [sentence.format(thread.id)]
    # Once a day.
    await world.taken(await world.ask("why?", thread, discord.ada))
    assert len(shown(discord)) == 1
    assert (shown(discord, thread), world.model.requests) == ([], [])


@pytest.mark.parametrize("where", ["a private thread", "a forum"])
async def test_nobody_else_hears_of_what_it_cannot_answer(world: World, discord: DiscordStandin, where: str) -> None:
    if where == "a forum":
        place = (await discord.open_post(discord.add_forum("help"), "Boats", discord.ada, "look")).channel
    else:
        place = await discord.open_thread(discord.general, "secret", discord.ada, private=True)
        discord.world.join_thread(place, discord.bot)
    discord.world.update_thread(place, locked=True)
    said = await world.ask("why?", place, discord.ada)
    await world.taken(said)
    await discord.wait_for(lambda: "🕒" in said.reactions)
    assert shown(discord) == []


async def test_a_deleted_channel_takes_its_archived_threads_along(start: Start, discord: DiscordStandin) -> None:
    channel = discord.add_channel("harbour")
    async with start() as world:
        await switch_on(world, channel)
        question = await world.ask_and_wait("why?", channel)
    thread = thread_on(question)
    # After a start, discord.py does not know it.
    discord.world.update_thread(thread, archived=True)
    async with start() as world:
        assert len(await world.turns(thread)) == 1
        # Of a thread that is archived nobody may be told.
        discord.faults.add(Lost(), event="THREAD_DELETE")
        discord.world.delete_channel(channel)
        await world.until(lambda: world.turns(thread), [])


async def test_exports_and_forgetting_cover_the_threads(world: World, discord: DiscordStandin) -> None:
    await switch_on(world)
    question = await world.ask_and_wait("why?")
    thread = thread_on(question)
    await world.ask_and_wait("and why not?", thread, discord.cleo)
    told = file(await answered(await discord.slash(discord.bo, discord.general, "export")))
    assert [(each["conversation"], each["prompt"]) for each in told["exchanges"]] == [(f"discord:{thread.id}", "why?")]
    await press(world, discord.bo, await asked_to_forget(world, discord.bo, thread), "yes")
    await world.until(lambda: world.turns(thread), [("and why not?", "To and why not?.", "complete")])


async def answered(used: Interaction) -> Interaction:
    await used.answered()
    return used


def locks(discord: DiscordStandin, thread: Channel) -> None:
    discord.world.update_thread(thread, locked=True)


def closes(discord: DiscordStandin, thread: Channel) -> None:
    discord.world.update_thread(thread, locked=True, archived=True)


def shuts_out(discord: DiscordStandin, thread: Channel) -> None:
    discord.deny(discord.general, Permission.SEND_MESSAGES_IN_THREADS)


IN_PARTS = ["The first part. ", *("word " * 5 for _ in range(100))]
HERE = "-# I can't write in <#{}> any more, so my answer is here."


@pytest.mark.virtual_time
@pytest.mark.parametrize("where", ["in a thread on it", "in a thread"])
@pytest.mark.parametrize("begun", [False, True], ids=["before the answer", "in its middle"])
@pytest.mark.parametrize("happens", [locks, closes, shuts_out])
async def test_an_answer_whose_thread_is_closed_comes_in_the_channel(
    world: World,
    discord: DiscordStandin,
    happens: Callable[[DiscordStandin, Channel], None],
    begun: bool,
    where: str,
) -> None:
    held = asyncio.Event()
    said = "".join(IN_PARTS) + "long " * 400 + "the end."
    world.model.script.append(Reply(said, held_until=None if begun else held, tokens_per_second=40 if begun else None))
    if where == "in a thread":
        thread = await discord.open_thread(discord.general, "side", discord.ada)
        question = await world.ask("why?", thread)
    else:
        await switch_on(world)
        question = await world.ask("why?")
        await discord.wait_for(lambda: question.thread)
        thread = thread_on(question)
    own = thread.id
    await (discord.wait_for(lambda: "The first part." in "".join(shown(discord, thread))) if begun else world.asked(0))
    happens(discord, thread)
    held.set()
    await world.taken(question)
    answer = discord.bot_messages(discord.general)
    whole = "\n".join(each.content for each in answer)
    assert whole.startswith("The first part."), "all of it"
    assert whole.endswith(f"the end.\n{HERE.format(own)}")
    assert answer[0].reply_to is (question if where == "in a thread on it" else None)
    left = "".join(shown(discord, thread)[1:] if where == "in a thread on it" else shown(discord, thread))
    assert ("The first part" in left) is begun
    assert [(prompt, state) for prompt, _, state in await world.turns(thread)] == [("why?", "complete")]


async def test_a_private_threads_answer_is_shown_nowhere_else(world: World, discord: DiscordStandin) -> None:
    held = asyncio.Event()
    world.model.script.append(Reply("A secret.", held_until=held))
    thread = await discord.open_thread(discord.general, "secret", discord.ada, private=True)
    discord.world.join_thread(thread, discord.bot)
    question = await world.ask("why?", thread, discord.ada)
    await world.asked(0)
    closes(discord, thread)
    held.set()
    await world.taken(question)
    assert shown(discord) == []
