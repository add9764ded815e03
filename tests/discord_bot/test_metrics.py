"""The figures and the health of a running bot, as Prometheus and a load balancer ask for them."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import sqlite3
import sys
from contextlib import closing
from functools import partial
from pathlib import Path

import aiohttp
import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families as families

from bot.config import ListenAddress
from bot.core.figures import Figures, Gauge
from bot.discord_bot.health import HealthChecks
from bot.operator.health import read_health
from bot.operator.metrics import PREFIX, serve_metrics
from bot.standin.entities import Channel, Guild, User
from bot.standin.faults import RateLimited
from bot.standin.model import ModelStandin
from bot.standin.script import REFUSALS, Reply
from bot.standin.server import DiscordStandin
from tests.discord_bot.conftest import Launch, Start
from tests.discord_bot.test_health import image_check
from tests.waiting import FOR_A_PROCESS, until

MONITORING = Path(__file__).parents[2] / "docs/monitoring"
SAID = ("watchword", "swordfish", "whole")
"""Words of questions and answers."""
Answer = tuple[int, str, str]
"""Status, content type and body."""


@pytest.fixture
def port() -> int:
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        number: int = free.getsockname()[1]
        return number


async def get(port: int, path: str, host: str = "127.0.0.1", method: str = "GET", **headers: str) -> Answer:
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, f"http://{host}:{port}{path}", headers=headers) as answer,
    ):
        return answer.status, answer.headers.get("Content-Type", ""), await answer.text()


def samples(scrape: str) -> dict[str, float]:
    """The samples that are not 0, by name and labels' values, in the order of the labels' names."""
    return {
        " ".join((sample.name, *(value for _, value in sorted(sample.labels.items())))): sample.value
        for family in families(scrape)
        for sample in family.samples
        if sample.value
    }


def shown(discord: DiscordStandin, count: int) -> bool:
    return len(discord.bot_messages(discord.general)) == count


@pytest.mark.skipif(sys.platform == "win32", reason="figures of /proc")
async def test_a_scrape_tells_how_turns_went_and_names_nobody(
    discord: DiscordStandin, model: ModelStandin, launch: Launch, shards: int, tmp_path: Path, port: int
) -> None:
    model.script += [
        Reply("The whole answer."),
        REFUSALS["bad key"],
        Reply(["swordfish "] * 4000, tokens_per_second=60),
    ]
    discord.faults.add(RateLimited(0.05, "shared"), method="POST", route="/channels/{channel_id}/messages")
    async with launch(METRICS_PORT=str(port), PRICES="gpt-6-luna=1/2") as process:
        await discord.ready()
        for number, text in enumerate(("tell me the watchword", "and now?", "a long one"), 1):
            await discord.say(discord.general, discord.bo, f"<@{discord.bot.id}> {text}")
            await discord.wait_for(partial(shown, discord, number))
        stopped = await discord.slash(discord.bo, discord.general, "stop")
        await stopped.answered()
        await discord.wait_for(lambda: "Stopped by" in discord.bot_messages(discord.general)[-1].content)

        async def all_counted() -> bool:
            # The loop's delay is measured for the first time some moments after the start.
            last = {"parley_turns_total stopped person", "parley_event_loop_delay_seconds_count"}
            return last <= samples((await get(port, "/metrics"))[2]).keys()

        await until(all_counted, within=FOR_A_PROCESS)
        status, content_type, scrape = await get(port, "/metrics")
        assert (status, content_type) == (200, "text/plain; version=0.0.4; charset=utf-8")
        seen = samples(scrape)
        assert {name: value for name, value in seen.items() if "turns_total" in name} == {
            "parley_turns_total complete none": 1,
            "parley_turns_total failed configuration": 1,
            "parley_turns_total stopped person": 1,
        }
        assert seen["parley_first_word_seconds_count"] == 2
        assert seen["parley_first_word_seconds_bucket 120.0"] == seen["parley_first_word_seconds_bucket +Inf"] == 2
        assert seen["parley_discord_rate_limited_total shared"] == 1
        assert seen["parley_tokens_total prompt gpt-6-luna"] > 0
        tokens = [seen[f"parley_tokens_total {kind} gpt-6-luna"] for kind in ("prompt", "reply")]
        assert seen["parley_cost_total gpt-6-luna"] == pytest.approx((tokens[0] + 2 * tokens[1]) / 1e6, abs=3e-6)
        assert (seen["parley_shards"], seen["parley_shards_connected"]) == (shards, shards)
        assert seen["parley_event_loop_delay_seconds_count"] > 0 < seen["parley_database_commit_seconds_count"]
        assert seen["process_resident_memory_bytes"] > 10_000_000

        _, modern_type, modern = await get(port, "/metrics", Accept="application/openmetrics-text;version=1.0.0")
        assert modern_type.startswith("application/openmetrics-text")
        parsed = openmetrics.text_string_to_metric_families(modern)  # type: ignore[no-untyped-call]
        assert any(family.name == "parley_turns" for family in parsed)

        world = discord.world
        things: list[User | Guild | Channel] = [*world.users.values(), *world.guilds.values(), *world.channels.values()]
        names = {each.name for each in things} | {user.display_name for user in world.users.values()}
        ids = {each.id for each in things}
        for word in {*SAID, *filter(None, names), *map(str, ids), discord.token}:
            assert not re.search(rf"\b{re.escape(word)}\b", scrape), word
        assert not re.search(r"(?<![\d.])\d{17}", scrape)

        async def healthy() -> bool:
            # A file that the bot writes every few seconds tells the command.
            return (await image_check(tmp_path / "parley.db"))[0] == 0

        await until(healthy, within=FOR_A_PROCESS)
        status, _, told = await get(port, "/healthz")
        assert status == 200
        _, printed, _ = await image_check(tmp_path / "parley.db")
        assert re.sub(r"\d+ s ago", "…", told) == re.sub(r"\d+ s ago", "…", printed)
        process.terminate()
        await process.wait()


@pytest.mark.parametrize("busy", [True, False])
async def test_an_address_that_cannot_be_had_is_one_sentence(
    discord: DiscordStandin, launch: Launch, port: int, busy: bool
) -> None:
    with closing(socket.socket()) as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        address = f"127.0.0.1:{port}" if busy else f"192.0.2.1:{port}"
        async with launch(METRICS_PORT=address) as process:
            _, log = await process.communicate()
    assert process.returncode == 1
    [critical] = [line for line in log.decode().splitlines() if "CRITICAL" in line]
    reason = (
        "another program uses it. Choose another port, or end that program."
        if busy
        else "this computer does not have that address. Leave it out, or write one that it has."
    )
    assert critical.endswith(f"METRICS_PORT: no server can be at {address}: {reason}")
    assert "Traceback" not in log.decode()


async def test_health_is_told_as_the_command_tells_it(
    discord: DiscordStandin, start: Start, tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bot.operator.health.DATABASE_TIMEOUT", 0.3)
    monkeypatch.setattr("bot.operator.health.INTERVAL", 0.01)
    database = tmp_path / "parley.db"

    async def healthz() -> Answer:
        return await get(port, "/healthz")

    async def agree() -> bool:
        return (await healthz())[2] == (await read_health(database)).text + "\n"

    async with start(metrics=ListenAddress("127.0.0.1", port)) as world:
        await until(agree)
        assert (await healthz())[:2] == (200, "text/plain; charset=utf-8")
        async with discord.gateway.outage():

            async def away() -> bool:
                status, _, text = await healthz()
                return status == 503 and re.match(r"Discord: (no connection|0 of \d shards)", text) is not None

            await world.until(away)
            seen = samples((await get(port, "/metrics"))[2])
            assert "parley_shards_connected" not in seen
            assert seen["parley_shard_away_seconds"] > 0
            await world.until(agree)

        async def well() -> bool:
            return (await healthz())[0] == 200

        await world.until(well)
        with closing(sqlite3.connect(database)) as other:
            other.execute("BEGIN IMMEDIATE")
            status, _, text = await healthz()
            assert status == 503
            assert "Database: no answer within 0.3 s." in text
            answers = await asyncio.gather(*(healthz() for _ in range(20)))
            assert {status for status, _, _ in answers} == {503}
            assert len({text for _, _, text in answers}) == 1, "one check for all who ask at once"
        await world.until(well)


@pytest.mark.parametrize("shards", [3], indirect=True)
async def test_one_shard_that_is_away_is_told(discord: DiscordStandin, start: Start, port: int) -> None:
    async with start(metrics=ListenAddress("127.0.0.1", port)) as world:
        async with discord.gateway.outage(shard=2):

            async def told() -> bool:
                status, _, text = await get(port, "/healthz")
                return status == 503 and "2 of 3 shards connected; shard 2 away for" in text

            await world.until(told)
            seen = samples((await get(port, "/metrics"))[2])
            assert (seen["parley_shards"], seen["parley_shards_connected"]) == (3, 2)
            assert seen["parley_shard_away_seconds"] > 0

        async def well() -> bool:
            return (await get(port, "/healthz"))[0] == 200

        await world.until(well)
        assert samples((await get(port, "/metrics"))[2])["parley_shards_connected"] == 3


async def test_check_that_is_under_way_ends_with_the_server(port: int) -> None:
    asked = asyncio.Event()

    async def hanging() -> None:
        asked.set()
        await asyncio.Event().wait()

    before = asyncio.all_tasks()
    async with serve_metrics(ListenAddress("127.0.0.1", port), Figures(), HealthChecks.of_standby(hanging)):
        waiting = asyncio.create_task(get(port, "/healthz"))
        await asked.wait()
    with pytest.raises(aiohttp.ClientError):
        await waiting
    assert asyncio.all_tasks() == before


async def test_only_what_is_asked_for_is_served(start: Start, port: int, caplog: pytest.LogCaptureFixture) -> None:
    async with start(metrics=ListenAddress("127.0.0.1", port)):
        hosts = ("evil.example", "192.0.2.1", "localhost.evil.example", "[::2]", "", "localhost:99999999", "\u00ff")
        for host in hosts:
            for path in ("/metrics", "/healthz", "/"):
                status, _, text = await get(port, path, Host=host)
                assert (status, "parley_" in text) == (403, False), host
        for host in ("localhost", "127.0.0.1:1234", f"[::1]:{port}"):
            assert (await get(port, "/metrics", Host=host))[0] == 200
        assert [(await get(port, "/metrics", method=method))[0] for method in ("POST", "PUT", "DELETE", "OPTIONS")] == [
            405
        ] * 4
        assert (await get(port, "/metrics", method="HEAD"))[::2] == (200, "")
        for version in ("x", "1.x", "", "9" * 5000):
            accept = f"application/openmetrics-text; version={version}; escaping=x, */*;q=x"
            assert (await get(port, "/metrics", Accept=accept))[0] == 200, version
        for path in ("/", "/metrics/", "/metrics/x", "/static", "/healthz/", "//metrics"):
            assert (await get(port, path))[0] == 404, path
    assert "Traceback" not in caplog.text


async def test_other_computers_may_call_it_by_any_name(start: Start, port: int) -> None:
    async with start(metrics=ListenAddress("0.0.0.0", port)):  # noqa: S104 - the matter of the test
        assert (await get(port, "/metrics", Host="bot.example:9100"))[0] == 200


async def test_dashboard_and_alerts_ask_for_what_there_is(start: Start, port: int) -> None:
    dashboard, alerts = (MONITORING / name for name in ("dashboard.json", "alerts.yml"))
    panels = json.loads(dashboard.read_text(encoding="utf-8"))["panels"]
    expressions = [target["expr"] for panel in panels for target in panel["targets"]]
    expressions += re.findall(r"expr: (?:\|\n)?(.*?)\n {8}\w", alerts.read_text(encoding="utf-8"), re.DOTALL)
    assert len(panels) > 15
    async with start(metrics=ListenAddress("127.0.0.1", port)) as world:
        await world.answered()
        scraped = {family.name: family.type for family in families((await get(port, "/metrics"))[2])}
        labels = dict[str, set[str]]()
        for family in world.figures:
            if not isinstance(family, Gauge):
                for values in family.series:
                    for label, value in zip(family.labels, values, strict=True):
                        labels.setdefault(label, set()).add(value)
    suffixes = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
    known = {name + suffix for name, kind in scraped.items() for suffix in suffixes[kind]}
    assert len(expressions) > 40
    for expression in expressions:
        asked = re.findall(r"\b((?:parley|process)_\w+)", re.sub(r'"[^"]*"', "", expression))
        assert set(asked) <= known, expression
        assert asked or "up{" in expression, expression
        for label, values in re.findall(r'\b(\w+)=~?"([^"$]*)"', expression):
            assert label == "job" or set(values.split("|")) <= labels[label], expression
        for grouped in re.findall(r"\bby \(([^)]*)\)", expression):
            assert set(grouped.split(", ")) <= {"le", "job", *labels}, expression
    drawn = {name.removesuffix("_bucket") for name in re.findall(r"parley_\w+", " ".join(expressions))}
    assert {PREFIX + family.name for family in world.figures} == {name.removesuffix("_total") for name in drawn}
