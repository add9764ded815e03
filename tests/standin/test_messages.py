"""What the bot sends, edits and deletes, as the people in the channel see it; and what Discord refuses."""

from __future__ import annotations

import io
from typing import Any

import discord
import pytest

from bot.standin.entities import Attachment, MessageType, Permission, Poll, voice_message
from bot.standin.server import DiscordStandin
from tests.standin.conftest import MESSAGES, Client, Connect, text_channel


async def test_mention_is_answered_and_edited(standin: DiscordStandin, client: Client) -> None:
    async def answer(message: discord.Message) -> None:
        await message.channel.typing()
        reply = await message.reply("Let me", mention_author=False, suppress_embeds=True)
        await text_channel(client, standin.general).get_partial_message(reply.id).edit(content="Let me think.")

    client.answer = answer
    question = await standin.say(standin.general, standin.bo, f"{standin.bot.mention} why?")
    await standin.wait_for(lambda: any(m.edited for m in standin.bot_messages(standin.general)))
    (reply,) = standin.bot_messages(standin.general)
    assert (reply.content, reply.reply_to, reply.pinged) == ("Let me think.", question, set())
    assert [shown.content for shown in reply.shown] == ["Let me", "Let me think."]
    assert reply.shown[0].at <= reply.shown[1].at
    assert reply.embeds_suppressed
    (post,) = standin.calls("POST", MESSAGES)
    assert post.body["enforce_nonce"] is True
    assert post.applied is not None
    assert post.answered is not None
    assert post.started <= post.applied <= post.answered


async def test_direct_message_is_answered(standin: DiscordStandin, client: Client) -> None:
    dm = standin.open_dm(standin.cleo)
    client.answer = lambda message: message.channel.send(f"You said {message.content}")
    await standin.say(dm, standin.cleo, "hello")
    await standin.wait_for(lambda: standin.bot_messages(dm))
    assert standin.bot_messages(dm)[0].content == "You said hello"


async def test_typing_shows_until_the_message(standin: DiscordStandin, client: Client) -> None:
    channel = text_channel(client, standin.general)
    async with channel.typing():
        await standin.wait_for(lambda: standin.typing(standin.general))
        assert [typing.user for typing in standin.typing(standin.general)] == [standin.bot]
    await channel.send("done")
    assert standin.typing(standin.general) == []


async def test_whom_a_message_pings(standin: DiscordStandin, connect: Connect) -> None:
    client = await connect(standin)
    channel = text_channel(client, standin.general)
    content = f"{standin.bo.mention} {standin.moderators.mention} @everyone `{standin.cleo.mention}`"
    question = await standin.say(standin.general, standin.ada, "who?")
    quoted = channel.get_partial_message(question.id)

    await channel.send(content)
    await channel.send(content, allowed_mentions=discord.AllowedMentions.none())
    await channel.send(
        content,
        allowed_mentions=discord.AllowedMentions(everyone=False, users=[discord.Object(standin.bo.id)], roles=False),
    )
    await quoted.reply("you", mention_author=True)
    await quoted.reply("you", mention_author=False)
    everything, nothing, one, replied, unreplied = standin.bot_messages(standin.general)
    assert everything.pinged == {standin.bo, standin.max}
    assert nothing.pinged == set()
    assert one.pinged == {standin.bo}
    assert replied.pinged == {standin.ada}
    assert unreplied.pinged == set()

    # An edit that does not say otherwise is parsed with the default allowances.
    await channel.get_partial_message(nothing.id).edit(content=content)
    assert nothing.pinged == {standin.bo, standin.max}

    standin.allow(standin.general, Permission.MENTION_EVERYONE)
    await channel.send("@everyone")
    assert standin.bot_messages(standin.general)[-1].pinged == {standin.ada, standin.max, standin.bo, standin.cleo}


async def test_content_is_limited_to_2000_code_points(standin: DiscordStandin, client: Client) -> None:
    channel = text_channel(client, standin.general)
    sent = await channel.send("👍" * 2000)
    with pytest.raises(discord.HTTPException) as refused:
        await channel.send("x" * 2001)
    assert (refused.value.status, refused.value.code) == (400, 50035)
    assert "2000 or fewer" in refused.value.text
    with pytest.raises(discord.HTTPException) as refused:
        await sent.edit(content="x" * 2001)
    assert refused.value.code == 50035
    with pytest.raises(discord.HTTPException) as refused:
        await channel.send("")
    assert refused.value.code == 50006
    assert len(standin.bot_messages(standin.general)) == 1


async def test_missing_and_foreign_targets_are_refused(standin: DiscordStandin, client: Client) -> None:
    channel = text_channel(client, standin.general)
    theirs = await standin.say(standin.general, standin.bo, "mine")
    codes = []
    for call in (
        client.fetch_channel(1),
        channel.fetch_message(1),
        channel.get_partial_message(theirs.id).edit(content="yours"),
        channel.get_partial_message(theirs.id).delete(),
        channel.get_partial_message(theirs.id).add_reaction("a"),
    ):
        with pytest.raises(discord.HTTPException) as refused:
            await call
        codes.append((refused.value.status, refused.value.code))
    assert codes == [(404, 10003), (404, 10008), (403, 50005), (403, 50013), (400, 10014)]


async def test_permissions_hold_in_their_channel_only(standin: DiscordStandin, client: Client) -> None:
    question = await standin.say(standin.general, standin.bo, f"{standin.bot.mention} hello")
    channel = text_channel(client, standin.general)
    quoted = channel.get_partial_message(question.id)
    standin.deny(standin.general, Permission.READ_MESSAGE_HISTORY)
    with pytest.raises(discord.HTTPException) as refused:
        await quoted.reply("hi")
    assert refused.value.code == 160002
    assert [message async for message in channel.history()] == []
    await channel.send("plainly")
    standin.deny(standin.general, Permission.SEND_MESSAGES)
    with pytest.raises(discord.Forbidden) as refused:
        await channel.send("again")
    assert refused.value.code == 50013
    standin.deny(standin.general, Permission.VIEW_CHANNEL)
    with pytest.raises(discord.Forbidden) as refused:
        await channel.send("again")
    assert refused.value.code == 50001
    await text_channel(client, standin.random_channel).send("elsewhere")
    standin.bo.closed_dms = True
    with pytest.raises(discord.Forbidden) as refused:
        await (await client.create_dm(discord.Object(standin.bo.id))).send("hi")
    assert refused.value.code == 50007


async def test_reply_to_nothing_is_refused(standin: DiscordStandin, client: Client) -> None:
    channel = text_channel(client, standin.general)
    gone = await standin.say(standin.general, standin.bo, f"{standin.bot.mention} hello")
    await standin.delete(gone)
    lost = discord.MessageReference(message_id=gone.id, channel_id=standin.general.id)
    with pytest.raises(discord.HTTPException) as refused:
        await channel.send("what?", reference=lost)
    assert refused.value.code == 50035
    assert "Unknown message" in refused.value.text
    lost.fail_if_not_exists = False
    await channel.send("what?", reference=lost)
    (message,) = standin.bot_messages(standin.general)
    assert message.reply_to is None
    joined = await standin.say(standin.general, standin.bo, "", type=MessageType.JOIN)
    with pytest.raises(discord.HTTPException, match="system message"):
        await channel.get_partial_message(joined.id).reply("welcome")


async def test_nonce_posts_once(standin: DiscordStandin, client: Client) -> None:
    first = await text_channel(client, standin.general).send("once", nonce="n1")
    again = await text_channel(client, standin.general).send("once", nonce="n1")
    assert first.id == again.id
    assert len(standin.bot_messages(standin.general)) == 1


async def test_history_is_paged(standin: DiscordStandin, client: Client) -> None:
    said = [await standin.say(standin.general, standin.bo, f"{standin.bot.mention} {n}") for n in range(7)]
    channel = text_channel(client, standin.general)

    async def page(**bounds: Any) -> list[int]:
        return [int(message.content[-1]) async for message in channel.history(limit=3, **bounds)]

    middle = discord.Object(said[3].id)
    assert await page() == [6, 5, 4]
    assert await page(before=middle) == [2, 1, 0]
    assert await page(after=middle) == [4, 5, 6]
    assert sorted(await page(around=middle)) == [2, 3, 4]


async def test_files_travel_both_ways(standin: DiscordStandin, client: Client) -> None:
    note = Attachment("note.txt", b"from Bo", "text/plain")
    await standin.say(standin.general, standin.bo, f"{standin.bot.mention} read", attachments=[note])
    await client.until(client.heard)
    (got,) = client.heard()[0].attachments
    assert (got.filename, got.size, got.content_type) == ("note.txt", 7, "text/plain")
    assert await got.read() == b"from Bo"
    assert standin.downloads == [note]
    await text_channel(client, standin.general).send("here", file=discord.File(io.BytesIO(b"answer"), "answer.txt"))
    (sent,) = standin.bot_messages(standin.general)[0].attachments
    assert (sent.filename, sent.data) == ("answer.txt", b"answer")


async def test_voice_message_has_its_length_and_waveform(standin: DiscordStandin, client: Client) -> None:
    spoken = voice_message(b"OggS", 2.5, "AP8=")
    await standin.say(standin.open_dm(standin.bo), standin.bo, "", attachments=[spoken])
    await client.until(client.heard)
    (message,) = client.heard()
    (got,) = message.attachments
    assert (message.content, message.flags.voice, got.is_voice_message()) == ("", True, True)
    assert (got.filename, got.content_type, got.duration, got.waveform) == (
        "voice-message.ogg",
        "audio/ogg",
        2.5,
        b"\x00\xff",
    )


async def test_reactions_threads_and_deletions(standin: DiscordStandin, client: Client) -> None:
    question = await standin.say(standin.general, standin.bo, f"{standin.bot.mention} discuss")
    await client.until(client.heard)
    message = client.heard()[0]
    wave = standin.add_emoji("wave")
    await message.add_reaction("⏳")
    await message.add_reaction(str(wave))
    assert question.reactions == {"⏳": [standin.bot], f"wave:{wave.id}": [standin.bot]}
    await message.remove_reaction("⏳", discord.Object(standin.bot.id))
    assert "⏳" not in question.reactions

    thread = await message.create_thread(name="Discussion")
    assert thread.id == question.id
    await thread.send("in here")
    assert question.thread is not None
    starter, said = standin.messages(question.thread)
    assert (starter.type, starter.reply_to, said.content) == (MessageType.THREAD_STARTER, question, "in here")
    standin.world.update_thread(question.thread, archived=True)
    with pytest.raises(discord.HTTPException) as refused:
        await thread.get_partial_message(said.id).edit(content="late")
    assert refused.value.code == 50083
    await thread.send("awake again")
    assert not question.thread.archived
    standin.world.update_thread(question.thread, archived=True, locked=True)
    with pytest.raises(discord.HTTPException) as refused:
        await thread.send("locked")
    assert refused.value.code == 50083

    await (await message.reply("short-lived")).delete()
    assert standin.bot_messages(standin.general) == []
    await standin.bulk_delete([question, await standin.say(standin.general, standin.bo, "spam")])
    await client.until(lambda: client.count("raw_bulk_message_delete"))


async def test_link_preview_is_an_update_without_an_edit(standin: DiscordStandin, client: Client) -> None:
    said = await standin.say(standin.general, standin.bo, f"{standin.bot.mention} https://example.org")
    await standin.unfurl(said, {"type": "link", "url": "https://example.org", "title": "Example"})
    await client.until(lambda: client.count("raw_message_edit"))
    await standin.edit(said, f"{standin.bot.mention} changed")
    await client.until(lambda: client.count("raw_message_edit") == 2)
    preview, edit = [args[0].message for event, args in client.events if event == "raw_message_edit"]
    assert (preview.edited_at, [embed.title for embed in preview.embeds]) == (None, ["Example"])
    assert edit.edited_at is not None
    assert edit.content.endswith("changed")


async def test_message_kinds_look_like_themselves(standin: DiscordStandin, client: Client) -> None:
    other = standin.add_user("robot", bot=True)
    await standin.say(standin.general, other, f"{standin.bot.mention} beep")
    await standin.say(standin.general, standin.world.add_user("Hook"), f"{standin.bot.mention} news", webhook=True)
    await standin.say(standin.general, standin.bo, "", type=MessageType.PINNED)
    await client.until(lambda: len(client.heard()) == 3)
    robot, hook, pin = client.heard()
    assert robot.author.bot
    assert hook.webhook_id is not None
    assert pin.is_system()


async def test_malformed_embeds_and_buttons_are_refused(standin: DiscordStandin, client: Client) -> None:
    channel = text_channel(client, standin.general)
    with pytest.raises(discord.HTTPException, match="4096 or fewer"):
        await channel.send(embed=discord.Embed(description="x" * 4097))
    view = discord.ui.View(timeout=None)
    for custom_id in ("same", "same"):
        view.add_item(discord.ui.Button[discord.ui.View](label="Go", custom_id=custom_id))
    with pytest.raises(discord.HTTPException, match="cannot be duplicated"):
        await channel.send("twins", view=view)
    await channel.send(embed=discord.Embed(description="x" * 4096))
    assert len(standin.bot_messages(standin.general)) == 1


async def test_a_forward_shows_a_message_as_it_was_and_a_poll_its_answers(
    standin: DiscordStandin, client: Client
) -> None:
    said = await standin.say(
        standin.general,
        standin.ada,
        f"See {standin.random_channel.mention}",
        attachments=[Attachment("cat.png", b"...", "image/png")],
        stickers=["Wave"],
    )
    direct = standin.open_dm(standin.bo)
    passed_on = await standin.forward(direct, standin.bo, said)
    asked = await standin.say(direct, standin.bo, "", poll=Poll("Tea?", ["Yes", "No"], several=True))
    await standin.edit(said, "Nothing.")
    channel = await client.create_dm(discord.Object(standin.bo.id))

    message = await channel.fetch_message(passed_on.id)
    assert (message.content, message.attachments, message.flags.forwarded) == ("", [], True)
    assert message.reference is not None
    assert (message.reference.type, message.reference.message_id) == (discord.MessageReferenceType.forward, said.id)
    (snapshot,) = message.message_snapshots
    assert snapshot.content == f"See {standin.random_channel.mention}"
    assert [attachment.filename for attachment in snapshot.attachments] == ["cat.png"]
    assert [sticker.name for sticker in snapshot.stickers] == ["Wave"]

    poll = (await channel.fetch_message(asked.id)).poll
    assert poll is not None
    assert (poll.question, poll.multiple) == ("Tea?", True)
    assert [answer.text for answer in poll.answers] == ["Yes", "No"]
    with pytest.raises(ValueError, match="polls"):
        await standin.forward(standin.random_channel, standin.bo, asked)
    with pytest.raises(PermissionError, match="person"):
        await standin.say(standin.general, standin.bo, "", embeds=[{"title": "A card"}])
