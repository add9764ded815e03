"""Pictures wherever a question shows them, by what the model was sent of them and what the person reads."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bot.standin.entities import Attachment, Message, Sticker
from bot.standin.faults import ALWAYS, DOWNLOAD, ServerError, Slow
from bot.standin.model import ModelStandin
from bot.standin.parts import text_of
from bot.standin.script import Refusal, Reply
from bot.standin.server import DiscordStandin
from tests.discord_bot.conftest import Launch, Start, World
from tests.discord_bot.people import shown as shown_on_discord
from tests.pictures import colours, png, shown
from tests.talking import question_of
from tests.waiting import PATIENCE

RED, BLUE = (200, 30, 40), (10, 20, 200)
CAT = Attachment("cat.png", png(64, 48, RED), "image/png")


@pytest.fixture(autouse=True)
def earlier_pictures_are_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine, fetching and reading them again may take longer than the bot waits for."""
    monkeypatch.setattr("bot.core.preparing.EARLIER_PICTURES_WITHIN", PATIENCE)


def cat() -> Attachment:
    return Attachment("cat.png", png(64, 48, RED), "image/png")


def photo() -> bytes:
    """A photo of a camera that was held upright: as it is stored, 2,000 pixels wide, and half red, half blue."""
    file = BytesIO()
    image = Image.new("RGB", (2000, 1000), RED)
    image.paste(BLUE, (1000, 0, 2000, 1000))
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(file, "JPEG", exif=exif)
    return file.getvalue()


async def send(world: World, *files: Attachment, text: str = "What is it?", **more: Any) -> Message:
    """Ask about pictures in a DM of Bo's."""
    discord = world.discord
    said = await discord.say(discord.open_dm(discord.bo), discord.bo, text, attachments=files, **more)
    await world.taken(said)
    return said


def under(world: World, question: Message) -> list[str]:
    """The small lines under the answer to a question, but for the one that stands under the first one in a DM."""
    [reply] = [each for each in world.discord.bot_messages(question.channel) if each.reply_to is question]
    lines = reply.content.splitlines()
    return [line for line in lines if line.startswith("-# ") and "I remember this chat" not in line]


async def test_photo_is_sent_upright_and_scaled_and_with_later_questions(world: World) -> None:
    said = await send(world, Attachment("photo.jpg", photo(), "image/jpeg"))
    assert under(world, said) == []
    [(kind, size)] = shown(world.model.requests[-1])
    assert size == (768, 1536)
    await send(world, text="And now?")
    assert shown(world.model.requests[-1]) == [(kind, size)]
    assert len(world.discord.downloads) == 1


async def test_pictures_of_quotes_forwards_stickers_and_cards_are_sent_in_their_order(world: World) -> None:
    discord, mention = world.discord, world.discord.bot.mention
    hook = discord.add_user("hook")
    graph = {"url": "https://ci.example/a/graph.png", "proxy_url": f"{discord.cdn_url}/graph.png"}
    card, file = {"title": "Build", "image": graph}, Attachment("b.png", png(9, 9), "image/png")
    quoted = await discord.say(discord.general, hook, mention, webhook=True, embeds=[card], attachments=[file])
    asked = f"{mention} what are these?"
    said = await discord.say(
        discord.general, discord.bo, asked, reply_to=quoted, attachments=[cat()], stickers=["Wave"]
    )
    await world.taken(said)
    request = await world.asked(0)
    assert [size for _, size in shown(request)] == [(9, 9), (1, 1), (64, 48), (1, 1)]
    assert question_of(request) == (
        "[Bo (@bo)]\n⟦In reply to hook (@hook):⟧\n> ⟦picture: b.png⟧\n> ⟦card:⟧\n> Build\n> ⟦picture: graph.png⟧\n\n"
        "what are these?\n⟦picture: cat.png⟧\n⟦picture: the sticker Wave⟧"
    )
    direct = discord.open_dm(discord.bo)
    await world.taken(await discord.forward(direct, discord.bo, said))
    assert [size for _, size in shown(await world.asked(1))] == [(64, 48), (1, 1)]


async def test_moving_sticker_that_is_no_picture_is_named_to_both(world: World) -> None:
    discord = world.discord
    said = await send(world, stickers=[Sticker("Dance", format_type=3), "Wave"])
    assert under(world, said) == ["-# I can't read this image. Try another one (the sticker Dance)."]
    request = world.model.requests[-1]
    assert [size for _, size in shown(request)] == [(1, 1)]
    assert question_of(request) == (
        "What is it?\n⟦picture: the sticker Dance⟧\n⟦picture: the sticker Wave⟧\n"
        "⟦The picture the sticker Dance cannot be read.⟧"
    )
    assert discord.downloads == []


async def test_pictures_of_media_galleries_are_sent_where_they_are_forwarded_and_quoted(world: World) -> None:
    discord = world.discord
    robot, direct = discord.add_user("robot", bot=True), discord.open_dm(discord.bo)

    def media(name: str, **more: Any) -> dict[str, Any]:
        at = f"{discord.cdn_url}/external/{name}"
        return {"media": {"url": f"https://ci.example/{name}?v=2", "proxy_url": at, "width": 9, "height": 9}, **more}

    first = {"type": 12, "id": 3, "items": [media("before.png", description="grey"), media("after.png")]}
    card = {"type": 17, "id": 1, "components": [{"type": 10, "id": 2, "content": "Build 7"}, first]}
    built = await discord.say(
        discord.general, robot, "", components=[card, {"type": 12, "id": 4, "items": [media("later.png")]}]
    )
    passed_on = await discord.forward(direct, discord.bo, built)
    await world.taken(passed_on)
    asked = await send(world, text="What changed?", reply_to=passed_on)
    gallery = "Build 7\n⟦picture: before.png, described as “grey”⟧\n⟦picture: after.png⟧"
    told = f"⟦forwarded:⟧\n⟦card:⟧\n{gallery}\n⟦card:⟧\n⟦picture: later.png⟧"
    assert question_of(await world.asked(0)) == told
    quoted = told.replace("\n", "\n> ")
    assert question_of(await world.asked(1)) == f"⟦In reply to Bo (@bo):⟧\n> {quoted}\n\nWhat changed?"
    assert [len(shown(request)) for request in world.model.requests] == [3, 6]
    assert under(world, passed_on) == under(world, asked) == []


async def test_picture_is_fetched_again_after_a_restart(file: Path, start: Start, discord: DiscordStandin) -> None:
    async with start() as world:
        first = await send(world, cat())
    discord.expire_attachments()
    async with start() as world:
        await send(world, text="Do you still see it?")
        assert colours(world.model.requests[-1]) == [RED]
        assert len(discord.calls("GET", "/channels/{channel_id}/messages/{message_id}")) == 1
    discord.world.delete(first)
    async with start() as world:
        await send(world, text="And now?")
        request = world.model.requests[-1]
        assert shown(request) == []
        earlier = [text_of(message["content"]) for message in request.messages]
        assert any(text.endswith("\n⟦The picture cat.png is no longer available.⟧") for text in earlier)


async def test_forgotten_quote_takes_its_pictures_along(world: World) -> None:
    discord, mention = world.discord, world.discord.bot.mention
    by_ada = await discord.say(discord.general, discord.ada, f"{mention} look", attachments=[cat()])
    await world.taken(by_ada)
    own = Attachment("own.png", png(30, 20, BLUE), "image/png")
    said = await discord.say(discord.general, discord.bo, f"{mention} this?", reply_to=by_ada, attachments=[own])
    await world.taken(said)
    assert colours(world.model.requests[-1])[-2:] == [RED, BLUE]
    await world.conversations.forgetting.forget_user(discord.ada.id)
    await world.store.engine.erase_deleted()
    await world.ask("And now?")
    await world.asked(2)
    assert colours(world.model.requests[-1]) == [BLUE]


BAD = {
    "broken.png": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "cut.jpg": photo()[:3000],
    "huge.png": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x75\x30\0\0\x75\x30\x08\2\0\0\0" + bytes(4),
    "empty.gif": b"",
    "../../etc/pass\nwd\u202e.png": b"\x89PNG\r\n\x1a\n",
}


@pytest.mark.parametrize("name", BAD)
async def test_picture_that_cannot_be_read_is_named_to_both(world: World, name: str) -> None:
    said = await send(world, Attachment(name, BAD[name], "image/png"), cat())
    request = world.model.requests[-1]
    assert colours(request) == [RED], under(world, said)
    [line] = under(world, said)
    assert line.startswith("-# I can't read this image. Try another one (")
    assert text_of(request.messages[-1]["content"]).endswith(" cannot be read.⟧")


async def test_person_reads_that_the_model_cannot_see(world: World) -> None:
    def objects(body: Mapping[str, Any]) -> Refusal | None:
        has_pictures = any(isinstance(message["content"], list) for message in body["messages"])
        return Refusal(400, {"error": "Model does not support images."}) if has_pictures else None

    world.model.objects = objects
    for number in range(2):
        said = await send(world, Attachment("cat*.png", CAT.data, "image/png"))
        assert under(world, said) == ["-# I can't see images with this model (cat\\*.png)."]
        assert len(world.model.requests) == 2 + number, "it is learned"


async def test_picture_that_cannot_be_loaded_now_is_loaded_later(world: World) -> None:
    fault = world.discord.faults.add(ServerError(503), method="GET", route=DOWNLOAD, times=ALWAYS)
    said = await send(world, cat())
    assert under(world, said) == ["-# I couldn't load the image. Try again (cat.png)."]
    assert fault.hits


async def before_its_first_byte(discord: DiscordStandin) -> None:
    fault = discord.faults.add(Slow(3600), method="GET", route=DOWNLOAD, times=ALWAYS)
    await ask_about(discord)
    await discord.wait_for(lambda: fault.hits)


async def while_it_is_read(discord: DiscordStandin) -> None:
    await ask_about(discord)
    await discord.wait_for(lambda: discord.downloads)


async def ask_about(discord: DiscordStandin) -> None:
    asked = f"{discord.bot.mention} What is it?"
    await discord.say(discord.general, discord.bo, asked, attachments=[Attachment("photo.jpg", photo(), "image/jpeg")])


@pytest.mark.skipif(sys.platform == "win32", reason="a kill of POSIX")
@pytest.mark.parametrize("phase", [before_its_first_byte, while_it_is_read])
async def test_a_kill_loses_no_picture(
    discord: DiscordStandin,
    model: ModelStandin,
    launch: Launch,
    start: Start,
    phase: Callable[[DiscordStandin], Awaitable[None]],
) -> None:
    async with launch() as process:
        await discord.ready()
        await phase(discord)
        process.kill()
        await process.wait()
    discord.faults.clear()
    model.default = Reply("The whole answer.")
    async with start() as world:
        await discord.wait_for(lambda: shown_on_discord(discord))
        await world.idle()
    assert [size for _, size in shown(model.requests[-1])] == [(768, 1536)]
