"""What others can watch of the stand-in, and how much of it is kept."""

from __future__ import annotations

from bot.standin.entities import Attachment, Message
from bot.standin.rest import Exchange
from bot.standin.server import DiscordStandin
from bot.standin.sessions import Frame
from bot.standin.world import Keep
from tests.standin.conftest import Client, Connect, Open, text_channel


async def test_every_message_change_is_observed(standin: DiscordStandin, client: Client) -> None:
    noticed: list[tuple[str, bool]] = []
    standin.world.on_message.append(lambda message: noticed.append((message.content, message.deleted)))
    message = await standin.say(standin.general, standin.bo, "tea")
    await standin.edit(message, "Tea")
    await standin.react(message, standin.cleo, "👍")
    await standin.unreact(message, standin.cleo, "👍")
    await standin.delete(message)
    assert noticed == [("tea", False), ("Tea", False), ("Tea", False), ("Tea", False), ("Tea", True)]


async def test_every_call_is_observed_twice(standin: DiscordStandin, client: Client) -> None:
    told: list[tuple[str, int, int | None]] = []

    def tell(exchange: Exchange) -> None:
        told.append((exchange.method, exchange.status, exchange.remaining))

    standin.on_exchange.append(tell)
    await text_channel(client, standin.general).send("hello")
    assert told == [("POST", 0, None), ("POST", 200, 4)]


async def test_both_gateway_directions_are_observed(open_standin: Open, connect: Connect) -> None:
    standin = await open_standin()
    frames: list[Frame] = []
    standin.gateway.on_frame.append(frames.append)
    client = await connect(standin)
    names = [(frame.to_bot, frame.name) for frame in frames]
    wanted = [(True, "HELLO"), (False, "IDENTIFY"), (True, "READY"), (True, "GUILD_CREATE")]
    assert [each for each in names if each in wanted] == wanted
    await standin.gateway.drop()
    await standin.say(standin.general, standin.bo, "missed")
    await client.until(lambda: client.count("resumed"))
    assert [frame.name for frame in frames if frame.replayed] == ["MESSAGE_CREATE"]
    assert [frame.data for frame in frames if frame.name == "CLOSED"] == [1006]


async def test_records_beyond_the_limit_are_dropped(open_standin: Open) -> None:
    standin = await open_standin(keep=Keep(messages=2, shown=1, file_bytes=10))
    gone: list[Message] = []
    standin.world.on_message.append(lambda message: gone.append(message) if message.deleted else None)
    files = [Attachment(f"{number}.txt", b"12345678") for number in range(2)]
    first, *rest = [await standin.say(standin.general, standin.bo, "x", attachments=[file]) for file in files]
    rest.append(await standin.say(standin.general, standin.bo, "last"))
    assert standin.messages(standin.general) == rest
    assert gone == [first]
    assert [file.data for file in files] == [b"", b"12345678"]
    assert [standin.attachment(file.id) for file in files] == [None, files[1]]
    await standin.edit(rest[-1], "at last")
    assert [state.content for state in rest[-1].shown] == ["at last"]
