"""Pictures from a prompt to the model, by what a server was sent: later questions, refusals, tokens, and forgetting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import date
from typing import Any

import pytest

from bot.config import ModelServerSettings
from bot.core.context import Context, learn_from_usage
from bot.core.generation_settings import GenerationSettings
from bot.core.model_events import Message, TokenStatistics
from bot.core.pictures import Picture, PictureProblem, PictureReference, Pictures
from bot.core.queues import QueueLimits, Queues
from bot.core.quotas import Quotas, Usage
from bot.core.service import ConversationService
from bot.core.turns import Outcome, StopReason, TurnState
from bot.llm.client import OpenAIModel
from bot.llm.timeouts import Timeouts
from bot.standin.model import ModelStandin
from bot.standin.parts import text_of
from bot.standin.script import Refusal
from bot.store import Store
from tests.pictures import Album, colours, picture, png, reference, shown
from tests.talking import HERE, Model, Talk
from tests.waiting import until

pytestmark = pytest.mark.virtual_time

PLENTY = 10**9
CAT, DOG = reference("cat.png"), reference("dog.png", 30, 20)


def answered(ended: Outcome | None, unseen: Mapping[PictureProblem, list[str]] | None = None) -> None:
    assert ended is not None
    assert (ended.state, ended.failure, ended.unseen) == (TurnState.COMPLETE, None, unseen or {})


@asynccontextmanager
async def asking(
    store: Store, server: ModelStandin, album: Album, *, vision: str | None = None, context_tokens: int = 8000
) -> AsyncIterator[Talk]:
    """One process that asks a server, on a platform with these pictures."""
    settings = GenerationSettings(
        models=("m",),
        system_prompt="Be brief.",
        context_tokens=context_tokens,
        reply_tokens=400,
        vision_model=vision,
        quotas=Quotas(PLENTY, PLENTY, PLENTY, PLENTY),
    )
    async with (
        OpenAIModel(ModelServerSettings(server.base_url), timeouts=Timeouts(retry_within=0.0)) as model,
        ConversationService(store, model, settings, today=lambda: date(2026, 11, 22)) as core,
        asyncio.timeout(60),
    ):
        core.pictures.source = album
        yield Talk(core, Model(), store)


def blind(words: str, status: int = 400) -> Callable[[Mapping[str, Any]], Refusal | None]:
    """What the server of a model that cannot see has against a request."""

    def objects(body: Mapping[str, Any]) -> Refusal | None:
        has_pictures = any(isinstance(message["content"], list) for message in body["messages"])
        return Refusal(status, {"error": {"message": words}}) if has_pictures and body["model"] == "m" else None

    return objects


def texts(server: ModelStandin) -> list[str]:
    return [text_of(message["content"]) for message in server.requests[-1].messages]


async def test_picture_is_sent_with_its_question_and_with_later_ones(store: Store) -> None:
    red, blue = (200, 30, 40), (10, 20, 200)
    album = Album(
        cat=Picture(png(64, 48, red), "image/png", 64, 48), dog=Picture(png(30, 20, blue), "image/png", 30, 20)
    )
    async with ModelStandin() as server, asking(store, server, album) as talk:
        answered(await talk.say("What are these?", pictures=[CAT, DOG]))
        assert shown(server.requests[-1]) == [("PNG", (64, 48)), ("PNG", (30, 20))]
        assert colours(server.requests[-1]) == [red, blue]
        assert texts(server)[-1].endswith("What are these?\n⟦picture: cat.png⟧\n⟦picture: dog.png⟧")
        answered(await talk.say("And now?"))
        answered(await talk.say("And then?"))
        assert shown(server.requests[-1]) == [("PNG", (64, 48)), ("PNG", (30, 20))]
        before, now = (request.body["messages"] for request in server.requests[-2:])
        assert now[: len(before) - 1] == before[:-1], "the beginning is the same to the byte"
        assert album.asked == ["at/cat.png", "at/dog.png"]
    async with ModelStandin() as server, asking(store, server, album) as talk:
        talk.position = 9
        answered(await talk.say("After a restart?"))
        assert colours(server.requests[-1]) == [red, blue]
        assert len(album.asked) == 4, "they are in memory only"


async def test_model_is_told_of_a_picture_that_is_gone(store: Store) -> None:
    album = Album(cat=picture())
    async with ModelStandin() as server, asking(store, server, album) as talk:
        answered(await talk.say("What is this?", pictures=[CAT]))
        answered(await talk.say("And this?", pictures=[DOG]), {PictureProblem.GONE: ["dog.png"]})
        assert len(shown(server.requests[-1])) == 1
        assert texts(server)[-1].endswith("\n⟦The picture dog.png is no longer available.⟧")
    del album.pictures["at/cat.png"]
    async with ModelStandin() as server, asking(store, server, album) as talk:
        talk.position = 9
        answered(await talk.say("Do you still see it?"))
        assert shown(server.requests[-1]) == []
        assert texts(server)[1].endswith("\n⟦The picture cat.png is no longer available.⟧")


@pytest.mark.parametrize(
    ("status", "words", "learned"),
    [
        (400, "Invalid content type. image_url is only supported by certain models.", True),
        (404, "No endpoints found that support image input", True),
        (422, "invalid type: sequence, expected a string at line 1 column 2901", True),
        (500, "image input is not supported - hint: you may need to provide the mmproj", True),
        (400, "Could not process image", False),
        (400, "Something is wrong here.", False),
    ],
)
async def test_text_is_answered_where_pictures_are_refused(
    store: Store, status: int, words: str, learned: bool
) -> None:
    async with ModelStandin() as server, asking(store, server, Album(cat=picture(), dog=picture())) as talk:
        server.objects = blind(words, status)
        problem = PictureProblem.UNSEEN if learned else PictureProblem.REFUSED
        answered(await talk.say("What is this?", pictures=[CAT]), {problem: ["cat.png"]})
        assert shown(server.requests[-1]) == []
        assert texts(server)[-1].endswith("\n⟦You cannot see the picture cat.png.⟧")
        sent = len(server.requests)
        answered(await talk.say("And this?", pictures=[DOG]), {problem: ["dog.png"]})
        assert (len(server.requests) - sent == 1) is learned


async def test_number_of_pictures_that_a_server_takes_is_learned(store: Store) -> None:
    def objects(body: Mapping[str, Any]) -> Refusal | None:
        parts = [part for m in body["messages"] if isinstance(m["content"], list) for part in m["content"]]
        too_many = sum(part["type"] == "image_url" for part in parts) > 1
        return Refusal(400, {"message": "At most 1 image(s) may be provided in one prompt."}) if too_many else None

    async with ModelStandin() as server, asking(store, server, Album(cat=picture(), dog=picture(30, 20))) as talk:
        server.objects = objects
        answered(await talk.say("Which is it?", pictures=[CAT, DOG]), {PictureProblem.LEFT_OUT: ["dog.png"]})
        assert shown(server.requests[-1]) == [("PNG", (64, 48))]
        answered(await talk.say("And this?", pictures=[DOG]))
        assert shown(server.requests[-1]) == [("PNG", (30, 20))], "the newest one counts"
        assert len(server.requests) == 3


async def test_vision_model_answers_about_pictures(store: Store) -> None:
    async with ModelStandin() as server, asking(store, server, Album(cat=picture()), vision="seer") as talk:
        server.objects = blind("Model does not support images.")
        ended = await talk.say("What is this?", pictures=[CAT])
        answered(ended)
        assert ended is not None
        assert ended.answered_by == "seer (OpenAI)"
        assert [request.body["model"] for request in server.requests] == ["m", "seer"]
        assert len(shown(server.requests[-1])) == 1
        for _ in range(5):
            answered(await talk.say("Look again."))
        asked = [request.body["model"] for request in server.requests[2:]]
        assert asked == ["seer"] * 4 + ["m"], "it answers what may be about the picture"
        assert shown(server.requests[-1]) == []
        usage = await store.usage.by_day(1)
        assert {row.model: row.requests for row in usage} == {"m": 1, "seer": 5}
        [latest, *_] = await store.turns.history(HERE, 1)
        assert latest.answered_by is None


async def test_context_too_long_is_sent_without_pictures(store: Store) -> None:
    """As the last resort, after everything else was left out."""
    async with (
        ModelStandin(context_tokens=600) as server,
        asking(store, server, Album(cat=picture(1200, 900)), context_tokens=4000) as talk,
    ):
        ended = await talk.say("What is this?", pictures=[reference("cat.png", 1200, 900)])
        answered(ended, {PictureProblem.LEFT_OUT: ["cat.png"]})
        assert shown(server.requests[-1]) == []


async def test_no_more_pictures_than_there_is_room_for(store: Store) -> None:
    many = [reference(f"{n}.png", 1500, 1500) for n in range(4)]
    album = Album(**{str(n): picture() for n in range(4)})
    async with ModelStandin() as server, asking(store, server, album) as talk:
        answered(await talk.say("What are these?", pictures=many), {PictureProblem.LEFT_OUT: ["2.png", "3.png"]})
        assert len(shown(server.requests[-1])) == 2


async def test_request_has_no_more_bytes_than_can_be_written_at_once(store: Store) -> None:
    """The event loop would be blocked: the guard of the whole suite watches that."""
    names = [f"{n}.png" for n in range(16)]
    noise = Picture(png(8, 8) + bytes(1_000_000), "image/png", 8, 8)
    async with (
        ModelStandin() as server,
        asking(store, server, Album(**dict.fromkeys(map(str, range(16)), noise))) as talk,
    ):
        for name in names[:8]:
            answered(await talk.say("What is this?", pictures=[reference(name, 8, 8)]))
        ended = await talk.say("And these?", pictures=[reference(name, 8, 8) for name in names[8:]])
        answered(ended, {PictureProblem.LEFT_OUT: names[14:]})
        assert len(shown(server.requests[-1])) == 6


def test_tokens_of_pictures_and_of_text_are_learned_apart() -> None:
    text = [Message("user", "x" * 4000)]
    both = [Message("user", "x" * 4000, (Picture(b"", "image/png", 1500, 1000),))]
    learned = TokenStatistics()
    for _ in range(12):
        learned = learn_from_usage(learned, text, Usage(1000 + 4, 0))
        learned = learn_from_usage(learned, both, Usage(1000 + 500 + 4, 0))
    assert learned.bytes_per_token == pytest.approx(4.0, abs=0.05)
    assert learned.picture_ratio == pytest.approx(500 / 2000, abs=0.02)
    before = learned.bytes_per_token
    assert learn_from_usage(learned, both, Usage(20_000, 0)).bytes_per_token == before


async def test_reservation_and_charge_count_pictures(store: Store) -> None:
    large = reference("cat.png", 1500, 1000)
    async with ModelStandin() as server, asking(store, server, Album(cat=picture(1500, 1000))) as talk:
        answered(await talk.say("What is this?", pictures=[large]))
        used = (await store.quotas.usage_today(1)).user
        [request] = server.requests
        assert used == request.prompt_tokens + len(request.sent_at) >= 1500 * 1000 // 1024
        [ratio] = {(await store.token_statistics.of(talk.core.settings.servers.key("m"))).picture_ratio}
        assert ratio is not None
        assert 0.5 < ratio < 0.9
    quiet = Context(
        "Be brief.",
        (await store.turns.history(HERE, 1))[0],
        today=date(2026, 11, 22),
        budget=8000,
        learned=TokenStatistics(),
    )
    assert quiet.tokens > 2000
    assert quiet.reserved_tokens > 4000, "more, where nothing has been counted"


class _Slow(Album):
    def __init__(self) -> None:
        super().__init__(cat=picture())
        self.go_on = asyncio.Event()

    async def fetch(self, reference: PictureReference) -> Picture | PictureProblem:
        await self.go_on.wait()
        return await super().fetch(reference)


async def test_nobody_waits_for_the_picture_of_another(store: Store) -> None:
    slow = _Slow()
    async with ModelStandin() as server, asking(store, server, slow) as talk:
        first = talk.say("What is this?", pictures=[CAT])
        await talk.sink(0)
        answered(await talk.say("Hello!", by=2))
        stopped = talk.say("And this?", by=3, pictures=[CAT])
        (await talk.sink(2)).running.stop(StopReason.USER)
        assert (await stopped or Outcome(TurnState.FAILED)).stop_reason is StopReason.USER
        slow.go_on.set()
        answered(await first)
        assert slow.asked == ["at/cat.png"], "the same picture is fetched once"
        assert len(shown(server.requests[-1])) == 1


async def test_memory_holds_what_was_used_last(store: Store) -> None:
    size = len(picture().data)
    pictures, album = Pictures(store.pictures, most_bytes=2 * size), Album(a=picture(), b=picture(), c=picture())
    pictures.source = album
    a, b, c = (reference(f"{name}.png") for name in "abc")
    await pictures.load([a, b], 5)
    pictures.found([a])
    await pictures.load([c], 5)
    assert set(pictures.found([a, b, c])) == {a, c}
    await pictures.close()


async def test_picture_of_a_question_that_waits_for_its_slot_stays_in_memory(store: Store) -> None:
    album, model, go = Album(cat=picture()), Model(), asyncio.Event()
    model.queue, model.replies = Queues(QueueLimits(1, 1)), [["Long", go]]
    settings = GenerationSettings(models=("m",), system_prompt="Be brief.", context_tokens=8000, reply_tokens=400)
    async with ConversationService(store, model, settings) as core, asyncio.timeout(30):
        core.pictures.source = album
        talk = Talk(core, model, store)
        first = talk.say("Hello!")
        await (await talk.sink(0)).said()
        waiting = talk.say("What is this?", by=2, pictures=[CAT])
        await until(lambda: core.pictures.found([CAT._replace(turn_id=-1)]))
        for _ in range(2):
            await core.pictures.sweep()
        go.set()
        answered(await first)
        answered(await waiting)
    assert album.asked == ["at/cat.png"], "it is fetched once"
    assert len(model.asked[-1][-1].pictures) == 1


async def test_picture_of_a_forgotten_turn_leaves_memory(store: Store) -> None:
    async with ModelStandin() as server, asking(store, server, Album(cat=picture(), dog=picture())) as talk:
        answered(await talk.say("What is this?", pictures=[CAT]))
        answered(await talk.say("And this?", by=2, pictures=[DOG]))
        await talk.core.pictures.sweep()
        await talk.core.forgetting.forget_own(HERE, 1)
        await talk.core.pictures.sweep()
        assert set(talk.core.pictures.found([CAT, DOG])) == {DOG}
        answered(await talk.say("What do you see?", by=2))
        assert len(shown(server.requests[-1])) == 1
