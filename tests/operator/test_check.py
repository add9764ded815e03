"""What `python -m bot check` tells a person about a set-up, in full."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from bot.cli import main
from bot.config import DISCORD, MODEL, SETTINGS
from bot.core.quotas import Usage
from bot.discord_bot.endpoint import connect_to
from bot.files.voice import seconds
from bot.standin.entities import Intent
from bot.standin.model import ModelStandin
from bot.standin.profiles import PROFILES
from bot.standin.script import REFUSALS, Refusal, Reply
from bot.standin.server import DiscordStandin
from bot.standin.sharding import Sharding
from bot.store.sqlite import open_store
from tests.operator.conftest import Look

SETTINGS_OK = "Settings: ok."
READY = "All is well. Start the bot with `python -m bot`."
ONE_SHARD = "Discord recommends 1 shard; session starts left: 1000."
NOT_READY = "Not ready yet. Fix what is not ok above, then check again."


@pytest.fixture
def database_ok(tmp_path: Path) -> str:
    return f"Database: ok. Conversations are kept in {(tmp_path / 'parley.db').resolve()}."


def reads_all(*names: str) -> str:
    read = "{0} reads all of CONTEXT_TOKENS (checked with one request of 8000 tokens). {0} sees images."
    return " ".join(read.format(name) for name in names)


@pytest.fixture
def model_ok(model: ModelStandin) -> str:
    return f"Model: ok. demo at {model.base_url} answers. {reads_all('demo')}"


@pytest.fixture
def discord_ok(discord: DiscordStandin) -> str:
    return (
        f"Discord: ok. {discord.bot.name}, owned by ada, is in 1 server and serves it. {ONE_SHARD} Invite link:"
        f" https://discord.com/oauth2/authorize?client_id={discord.bot.id}"
        "&scope=bot+applications.commands&permissions=309237746752"
    )


async def test_check_passes_beside_a_running_bot(
    look: Look, database_ok: str, model_ok: str, discord_ok: str, tmp_path: Path
) -> None:
    lines = [SETTINGS_OK, database_ok, model_ok, discord_ok, READY]
    assert await look() == (True, lines)
    async with open_store(tmp_path / "parley.db", exclusive=True):
        assert await look() == (True, lines)


@pytest.mark.parametrize(
    ("wanted", "enabled", "well", "said"),
    [
        ("true", True, True, "It may read messages that do not mention it, where moderators choose so with /server."),
        (
            "true",
            False,
            False,
            "its intent is off. Switch on Message Content Intent (Developer Portal, Bot, Privileged Gateway Intents)",
        ),
        (
            "false",
            True,
            True,
            "Its Message Content Intent is on, but not used: set MESSAGE_CONTENT=true, or switch it off.",
        ),
    ],
)
async def test_check_says_whether_messages_may_be_read(
    look: Look, discord: DiscordStandin, wanted: str, enabled: bool, well: bool, said: str
) -> None:
    discord.privileged = Intent.MESSAGE_CONTENT if enabled else Intent.NONE
    found, lines = await look(MESSAGE_CONTENT=wanted)
    assert found is well
    assert said in lines[3]


async def test_check_counts_the_guilds(look: Look, discord: DiscordStandin) -> None:
    discord.add_guild("Lighthouse")
    _, lines = await look()
    assert (
        f"owned by ada, is in 2 servers and serves all of them. {ONE_SHARD} Invite link: https://discord.com/"
        in lines[3]
    )
    discord.world.guilds.clear()
    _, lines = await look()
    assert f"owned by ada, is in no server yet. {ONE_SHARD} Invite link: https://discord.com/" in lines[3]


@pytest.mark.parametrize(
    ("recommended", "starts", "setting", "said"),
    [
        (3, 12, "auto", "Discord recommends 3 shards; session starts left: 12."),
        (3, 3, "3", "Discord recommends 3 shards; session starts left: 3."),
        (3, 2, "2", "Discord recommends 3 shards (SHARDS=2); session starts left: 2."),
        (
            3,
            2,
            "auto",
            "Discord recommends 3 shards; session starts left: 2. The bot will wait with its start until 20",
        ),
    ],
)
async def test_check_says_how_many_shards_discord_recommends(
    look: Look, discord: DiscordStandin, recommended: int, starts: int, setting: str, said: str
) -> None:
    rules = Sharding(least_recommended=recommended, session_starts=starts)
    async with DiscordStandin(token=discord.token, sharding=rules) as other:
        with connect_to(other.url, other.gateway_url, other.cdn_url):
            well, lines = await look(SHARDS=setting)
    assert well
    assert f" {said}" in lines[3]
    assert ("will wait" in lines[3]) is ("will wait" in said)


async def test_check_counts_unserved_guilds(look: Look, discord: DiscordStandin) -> None:
    eve = discord.world.add_user("eve", "Eve")
    elsewhere = discord.add_guild("Elsewhere", eve)
    well, lines = await look()
    assert well
    left = "It leaves the other servers after a day (see SERVERS)."
    assert f"is in 2 servers and serves 1 of them. {left} {ONE_SHARD} Invite link:" in lines[3]
    assert f"and serves all of them. {ONE_SHARD} Invite" in (await look(SERVERS="any"))[1][3]
    assert "and serves 1 of them" in (await look(SERVERS=str(elsewhere.id)))[1][3]
    assert "and serves all of them" in (await look(SERVERS=f"owner,{elsewhere.id}"))[1][3]
    assert f"and serves none of them. {left}" in (await look(SERVERS="123456789012345678"))[1][3]
    discord.world.guilds.pop(discord.guild.id)
    assert f"is in 1 server and does not serve it. {left}" in (await look())[1][3]


async def test_check_names_the_team_owner(look: Look, discord: DiscordStandin) -> None:
    eve, ivy = discord.world.add_user("eve", "Eve"), discord.world.add_user("ivy", "Ivy")
    discord.add_guild("Invited", ivy)
    discord.found_team("Crew", eve, discord.bo, invited=[ivy])
    well, lines = await look()
    assert well
    team = "Servers with any of the team's members are served, and its owner, eve, gets the bot's warnings."
    assert "owned by the team Crew, is in 2 servers and serves 1 of them." in lines[3], "who is invited owns nothing"
    assert team in lines[3]
    assert "Of the team, its owner, eve, gets the bot's warnings." in (await look(SERVERS="any"))[1][3]


async def test_check_reports_a_wrong_token(look: Look, database_ok: str, model_ok: str) -> None:
    assert await look(DISCORD_TOKEN="not.the.token") == (
        False,
        [
            SETTINGS_OK,
            database_ok,
            model_ok,
            "Discord: Discord refused DISCORD_TOKEN. Copy the bot's token again (Developer Portal, Bot, Reset Token).",
            NOT_READY,
        ],
    )


async def test_check_reports_a_wrong_key(look: Look, model: ModelStandin, database_ok: str, discord_ok: str) -> None:
    model.script.append(REFUSALS["bad key"])
    refused = (
        "Model: The model server refused OPENAI_API_KEY (401). Replace it in the environment and restart."
        " Its error: invalid_request_error, invalid_api_key."
        " It said: Incorrect API key provided: ***. You can find your API key at …"
    )
    assert await look() == (
        False,
        [
            SETTINGS_OK,
            database_ok,
            refused,
            discord_ok,
            NOT_READY,
        ],
    )


async def test_check_reports_an_unknown_model(
    look: Look, model: ModelStandin, database_ok: str, discord_ok: str
) -> None:
    model.script.append(REFUSALS["unknown model (Ollama)"])
    model.models = ("mistral", "llama3.2:3b")
    refused = (
        "Model: The model server refused the model lama3.2 (404). Correct OPENAI_MODEL, or the setting that names it,"
        " in .env and restart."
        ' Its error: api_error. It said: model "lama3.2" not found, try pulling it first.'
    )
    assert await look(OPENAI_MODEL="lama3.2") == (
        False,
        [SETTINGS_OK, database_ok, f"{refused} The models there: llama3.2:3b, mistral.", discord_ok, NOT_READY],
    )
    model.script.append(REFUSALS["unknown model (Ollama)"])
    model.models = [f"x{number}" for number in range(20)]
    _, lines = await look(OPENAI_MODEL="lama3.2")
    assert lines[2] == f"{refused} Some of the models there: {', '.join(model.models[:12])}."


async def test_check_reports_model_shutdowns(look: Look, model: ModelStandin, model_ok: str) -> None:
    model.models = ("demo", "other", "third")
    model.shutdown_dates = {"demo": "2999-01-14", "other": "2024-02-29", "third": None}
    well, lines = await look(MODELS="other,third")
    assert well, "they answer as yet"
    assert lines[2] == (
        f"Model: ok. demo, other and third at {model.base_url} answer."
        " OPENAI_MODEL demo is shut down on 2999-01-14: choose another."
        " MODELS other was shut down on 2024-02-29: choose another."
        f" {reads_all('demo', 'other', 'third')}"
    )
    model.script.append(REFUSALS["unknown model"])
    model.shutdown_dates = {"demo": "2024-02-29"}
    well, lines = await look()
    assert not well
    assert lines[2].endswith(". OPENAI_MODEL demo was shut down on 2024-02-29: choose another.")
    model.models = None
    assert (await look())[1][2] == model_ok


async def test_check_looks_at_each_server(look: Look, model: ModelStandin, model_ok: str) -> None:
    async with ModelStandin(models=("big", "bigger")) as cloud, ModelStandin(models=("tiny",)) as spare:
        cloud.shutdown_dates = {"big": "2999-01-14"}
        several = {
            "MODEL_SERVERS": f"cloud={cloud.base_url},spare={spare.base_url}",
            "CLOUD_API_KEY": "sk-of-the-cloud",
            "SPARE_API_KEY": "sk-of-the-spare",
            "MODELS": "cloud:bigger",
            "FALLBACK_MODEL": "cloud:big",
        }
        shutdown = "FALLBACK_MODEL big is shut down on 2999-01-14: choose another."
        read = reads_all("bigger", "big")
        well, lines = await look(**several)
        assert well
        assert lines[2:5] == [
            model_ok,
            f"Model server cloud: ok. bigger and big at {cloud.base_url} answer. {shutdown} {read}",
            "Model server spare: ok. No model of it is used yet. Add one to MODELS, such as spare:tiny.",
        ]
        assert {request.headers["Authorization"] for request in cloud.requests} == {"Bearer sk-of-the-cloud"}
        cloud.script.append(REFUSALS["bad key"])
        well, lines = await look(**several)
        assert not well
        assert lines[2] == model_ok
        assert lines[3].startswith("Model server cloud: The model server refused CLOUD_API_KEY (401). Replace it")
        assert "sk-of" not in "\n".join(lines)


async def test_check_has_a_recording_transcribed(look: Look, model_ok: str) -> None:
    async with ModelStandin(models=("whisper",)) as ears:
        hears = {"MODEL_SERVERS": f"ears={ears.base_url}", "TRANSCRIPTION_MODEL": "ears:whisper"}
        well, lines = await look(**hears)
        assert well
        assert lines[2:5] == [
            model_ok,
            "Model server ears: ok. It is used for voice messages alone.",
            f"Voice messages: ok. whisper at {ears.base_url} transcribes them.",
        ]
        ears.shutdown_dates = {"whisper": "2999-01-14"}
        used = "It is used for voice messages alone."
        shutdown = "TRANSCRIPTION_MODEL whisper is shut down on 2999-01-14: choose another."
        assert (await look(**hears))[1][3] == f"Model server ears: ok. {used} {shutdown}"
        [request, _] = ears.transcriptions.requests
        assert (request.model, seconds(request.audio, 600)) == ("whisper", 1.0)
        ears.transcriptions.script += [REFUSALS["unknown address"], REFUSALS["unknown model"]]
        well, lines = await look(**hears)
        assert not well
        assert lines[4] == (
            f"Voice messages: The model server at {ears.base_url} cannot transcribe recordings (404). Set"
            " TRANSCRIPTION_MODEL in .env to a model of a server that can, or leave it out, and restart. It said: 404"
            " page not found"
        )
        well, lines = await look(**hears)
        assert not well
        assert "The model server refused the model whisper (404). Correct TRANSCRIPTION_MODEL in .env" in lines[4]


@pytest.mark.parametrize(
    ("profile", "context_tokens", "usage", "words"),
    [
        (
            "ollama",
            4000,
            True,
            "a context of 12000 tokens (for Ollama: OLLAMA_CONTEXT_LENGTH), or lower CONTEXT_TOKENS",
        ),
        ("ollama", 16_000, True, "reads all of CONTEXT_TOKENS"),
        ("ollama", 4000, False, "demo does not count tokens, so this cannot check how many it reads."),
        ("vllm", 5000, True, "demo cannot read CONTEXT_TOKENS, 8000 tokens, so it is sent less."),
        ("llama_cpp_python", 4000, True, "demo does not count tokens"),
    ],
)
async def test_check_finds_a_server_that_reads_less(
    look: Look, model: ModelStandin, profile: str, context_tokens: int, usage: bool, words: str
) -> None:
    model.profile, model.context_tokens = PROFILES[profile], context_tokens
    model.default = Reply("Ok.", usage=usage)
    well, lines = await look()
    assert well, "the bot sends it no more than it reads"
    assert words in lines[2]
    assert f"demo at {model.base_url} answers." in lines[2]
    about_images = [request for request in model.requests if request.max_tokens == 16 and len(request.messages) == 1]
    assert len(model.requests) - len(about_images) <= 3
    assert len(about_images) <= 2


async def test_check_says_whether_a_model_sees(look: Look, model: ModelStandin) -> None:
    def refusing(words: str) -> Callable[[Mapping[str, Any]], Refusal | None]:
        def objects(body: Mapping[str, Any]) -> Refusal | None:
            has_image = isinstance(body["messages"][-1]["content"], list)
            return Refusal(400, {"error": {"message": words}}) if has_image else None

        return objects

    model.objects = refusing("this model does not support image input")
    well, lines = await look(VISION_MODEL="seer")
    assert well
    assert "demo cannot see images. " in lines[2]
    assert lines[2].endswith("VISION_MODEL seer cannot see images: choose another.")
    model.objects = refusing("Could not process image")
    unclear = "demo did not take an image, so this cannot tell whether it sees any: Could not process image."
    assert (await look())[1][2].endswith(unclear)
    model.objects = lambda _: None
    model.default = Reply("Ok.", usage=Usage(1000, 1))
    assert (await look())[1][2].endswith("demo takes images, but does not look at them.")
    model.default = Reply("Ok.", usage=False)
    blank = "demo takes images; since it does not count tokens, this cannot tell whether it looks at them."
    assert (await look())[1][2].endswith(blank)


async def test_check_passes_where_the_reply_has_no_room(look: Look, model: ModelStandin) -> None:
    model.profile, model.context_tokens = PROFILES["vllm"], 3000
    well, lines = await look()
    assert well, "the bot lets it say less"
    assert "demo cannot write replies of REPLY_TOKENS, 4000 tokens, so its replies are shorter." in lines[2]


async def test_check_reports_an_unreachable_model_server(
    look: Look, model: ModelStandin, database_ok: str, discord_ok: str, tmp_path: Path
) -> None:
    await model.stop_listening()
    port = model.base_url.removesuffix("/v1").rpartition(":")[2]
    marks = (tmp_path / "none", tmp_path)
    (well, lines), (_, contained) = await asyncio.gather(look(), look(container_marks=marks))
    unreachable = lines.pop(2)
    assert (well, lines) == (False, [SETTINGS_OK, database_ok, discord_ok, NOT_READY])
    assert unreachable.startswith(
        f"Model: The model server at {model.base_url} cannot be reached."
        " Start it, or correct OPENAI_BASE_URL in the environment and restart. The reason: "
    )
    assert "container" not in unreachable
    assert contained[2] == (
        f"{unreachable}. In a container, 127.0.0.1 is the container itself;"
        f" a server outside it, on this computer, is http://host.docker.internal:{port}/v1."
    )


async def test_check_explains_containers_only_where_nothing_answers(
    look: Look, model: ModelStandin, tmp_path: Path
) -> None:
    outside = "http://host.docker.internal:9/v1"
    assert "--add-host host.docker.internal:host-gateway" in (await look((tmp_path,), OPENAI_BASE_URL=outside))[1][2]
    assert "--add-host" not in (await look(OPENAI_BASE_URL=outside))[1][2]
    model.default = REFUSALS["server error"]
    line = (await look((tmp_path,)))[1][2]
    assert "failed (500)" in line
    assert "container" not in line


async def test_check_tries_what_is_configured(
    look: Look, database_ok: str, model_ok: str, discord_ok: str, tmp_path: Path
) -> None:
    no_token, no_model = f"Settings: {DISCORD.missing}", f"Settings: {MODEL.missing}"
    no_file = f"Settings: there is no file {tmp_path / '.env'}. Copy .env.example to it and fill it in."
    none = {"OPENAI_API_KEY": "", "OPENAI_BASE_URL": ""}
    assert await look(**none, DISCORD_TOKEN="") == (False, [no_token, no_model, no_file, database_ok, NOT_READY])
    (tmp_path / ".env").touch()
    assert await look(DISCORD_TOKEN="") == (False, [no_token, database_ok, model_ok, NOT_READY])
    assert await look(**none) == (False, [no_model, database_ok, discord_ok, NOT_READY])


async def test_check_reports_wrong_settings_first(look: Look, tmp_path: Path) -> None:
    (tmp_path / ".env").touch()
    assert await look(OPENAI_BASE_URL="localhost:1/v1", DISCORD_TOKEN="") == (
        False,
        [
            'Settings: OPENAI_BASE_URL in the environment: "localhost:1/v1" has no http:// or https://; did you mean http://localhost:1/v1?',
            f"Settings: {DISCORD.missing}",
            "Not ready yet. Correct these settings, then check again.",
        ],
    )
    assert not (tmp_path / "parley.db").exists()


async def test_check_reports_a_foreign_database_file(
    look: Look, model_ok: str, discord_ok: str, tmp_path: Path
) -> None:
    path = tmp_path / "photos.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE photos (id)")
    other.close()
    before = path.read_bytes()
    advice = (
        f"The database {path.resolve()} is not a file of this bot's: use another file, such as"
        f" {path.resolve().with_name('photos-2.db')}. Choose the file with DATABASE_PATH in the environment."
    )
    assert await look(DATABASE_PATH=str(path)) == (
        False,
        [SETTINGS_OK, f"Database: {advice}", model_ok, discord_ok, NOT_READY],
    )
    assert path.read_bytes() == before


async def test_check_says_what_it_waits_for(look: Look, database_ok: str, model_ok: str, discord_ok: str) -> None:
    waiting = [f"{name}: still waiting for an answer." for name in ("Database", "Model", "Discord")]
    _, lines = await look(patience=0)
    assert lines[1:-1] == [waiting[0], database_ok, waiting[1], model_ok, waiting[2], discord_ok]


def test_failed_check_sets_the_exit_code(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    assert main(["check"]) == 1
    out, err = capsys.readouterr()
    assert out.splitlines()[-1] == NOT_READY
    assert err == ""
