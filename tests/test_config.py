"""What a person who sets the bot up reads for each mistake, and what the settings are when there is none."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Mapping
from pathlib import Path

import pytest

from bot.config import DEFAULT_SYSTEM_PROMPT, DISCORD, MODEL, SETTINGS, Secret, Settings, listing
from bot.core.access import Servers
from bot.core.errors import SettingsError
from bot.core.quotas import NO_LIMITS, Quotas
from bot.core.shards import WantedShards
from bot.core.usage import MICRO, Price
from bot.network.connections import Network
from bot.operator.database_path import database_of
from tests.network.certificates import certificate

# Shaped like a bot's token, put together so that no scanner takes it for a real one.
TOKEN = ".".join(["MTk4NjIyNDgzNDcxOTI1MjQ4", "Cl2FMQ", "ZnCjm1XVW7vRze4b7Cq4se7kKWs"])
TAB = "copy the bot's token from the Bot tab of its application at https://discord.com/developers/applications."
LEVELS = "choose DEBUG, INFO, WARNING, ERROR or CRITICAL."
NO_MODEL = (
    "OPENAI_API_KEY and OPENAI_BASE_URL: not set; set your provider's key, the address of your own model server, such"
    " as http://localhost:11434/v1, or both."
)
TOO_LONG_A_REPLY = (
    "9000 is more than CONTEXT_TOKENS (8000), so a reply might not fit into the history; lower REPLY_TOKENS or raise"
    " CONTEXT_TOKENS."
)
IDS = (
    "17 to 19 digits each, with commas between them (to get them, turn on Developer Mode in Discord under User"
    " Settings, Advanced; then right-click, Copy ID)."
)
TOKENS = "write a whole number from 1000 to 999999999999, in digits only."
PRICES = (
    "write the model and what a million tokens of its context, of its replies and, if they are cheaper, of cached"
    " context cost, such as gpt-6-luna=0.10/0.50/0.01, with commas between models."
)
CHEAPER = (
    "makes cached context cost more than other context; write context/reply/cached, such as gpt-6-luna=0.10/0.50/0.01."
)
UNPRICED = "add gpt-6-luna=context/reply with the prices of a million tokens, or 0/0 if they are free."
MONEY = "write an amount in the currency of PRICES, in digits only, such as 1.00."
CLOUD = "cloud=https://api.openai.com/v1"
HOME = "home=http://localhost:11434/v1"
NAMES = f"use up to 31 lower case letters, digits, - or _, beginning with a letter, as in {HOME}."
METRICS = (
    "write a port from 1 to 65535 such as 9100, or with an IP address of this computer, such as 0.0.0.0:9100 or"
    " [::1]:9100."
)
NO_OBJECT = 'is not a JSON object; write one such as {"temperature": 0.7}, on one line.'
UNSEEN = "which cannot be seen; write the value again."
ILLEGIBLE = "has a space, a quotation mark or another character that"


def problems(environ: Mapping[str, str], env_file: Path | None = None) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        Settings.load(environ, env_file)
    return list(caught.value.problems)


def load(**environ: str) -> Settings:
    return Settings.load(environ, env_file=None)


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("DISCORD_TOKEN", "198622483471925248", f"this is an id, not the token; {TAB}"),
        ("DISCORD_TOKEN", "0f" * 32, f"this looks like the application's public key; {TAB}"),
        ("DISCORD_TOKEN", "s3cr3t" * 5 + "-_", f"this looks like the application's client secret; {TAB}"),
        ("DISCORD_TOKEN", "your-token-here", "still the placeholder of an example; put the bot's token in its place."),
        ("DISCORD_TOKEN", "<token>", "still the placeholder of an example; put the bot's token in its place."),
        ("DISCORD_TOKEN", TOKEN.replace(".", '"', 1), f"{ILLEGIBLE} the bot's token never has; copy it again."),
        ("DISCORD_TOKEN", TOKEN[:9] + "\n" + TOKEN[9:], f"{ILLEGIBLE} the bot's token never has; copy it again."),
        ("OPENAI_API_KEY", "sk-…", "still the placeholder of an example; put the provider's key in its place."),
        ("OPENAI_API_KEY", "sk-kéy", f"{ILLEGIBLE} the provider's key never has; copy it again."),
        ("OPENAI_API_KEY", "sk-1\r\nX-Own: 2", f"{ILLEGIBLE} the provider's key never has; copy it again."),
        ("OPENAI_API_KEY", "sk-1\t2", f"{ILLEGIBLE} the provider's key never has; copy it again."),
        ("OPENAI_API_KEY", "sk-1\x002", f"has the control character U+0000, {UNSEEN}"),
        ("DATABASE_PATH", "data\x00/parley.db", f"has the control character U+0000, {UNSEEN}"),
        ("SYSTEM_PROMPT_FILE", "prompt\x00.txt", f"has the control character U+0000, {UNSEEN}"),
        ("SSL_CERT_FILE", "roots\x00.pem", f"has the control character U+0000, {UNSEEN}"),
        ("OPENAI_BASE_URL", "http://local\x1bhost/v1", f"has the control character U+001B, {UNSEEN}"),
        ("OPENAI_API_KEY", "sk-1\x7f2", f"has the control character U+007F, {UNSEEN}"),
        (
            "OPENAI_BASE_URL",
            "localhost:11434/",
            '"localhost:11434/" has no http:// or https://; did you mean http://localhost:11434/v1?',
        ),
        (
            "OPENAI_BASE_URL",
            "localhost:11434/v1",
            '"localhost:11434/v1" has no http:// or https://; did you mean http://localhost:11434/v1?',
        ),
        (
            "OPENAI_BASE_URL",
            "192.168.1.20:8080/v1",
            '"192.168.1.20:8080/v1" has no http:// or https://; did you mean http://192.168.1.20:8080/v1?',
        ),
        (
            "OPENAI_BASE_URL",
            "api.example.com/v1",
            '"api.example.com/v1" has no http:// or https://; did you mean https://api.example.com/v1?',
        ),
        (
            "OPENAI_BASE_URL",
            "ftp://example.com",
            '"ftp://example.com" is not an http or https URL; write one such as http://localhost:11434/v1.',
        ),
        (
            "OPENAI_BASE_URL",
            "http://localhost:port/v1",
            '"http://localhost:port/v1" is not an http or https URL; write one such as http://localhost:11434/v1.',
        ),
        (
            "OPENAI_BASE_URL",
            "http:///v1",
            '"http:///v1" is not an http or https URL; write one such as http://localhost:11434/v1.',
        ),
        (
            "OPENAI_BASE_URL",
            "https://api.example.com/v1/chat/completions/",
            "must end before /chat/completions; did you mean https://api.example.com/v1?",
        ),
        (
            "OPENAI_BASE_URL",
            "https://me:hunter2@example.com/v1",
            "contains a name or a password; leave it out and put the key into OPENAI_API_KEY.",
        ),
        (
            "OPENAI_BASE_URL",
            "https://example.com/v1?key=hunter2",
            "has a '?' or a '#'; leave out everything from there on.",
        ),
        (
            "ALL_PROXY",
            "socks5://me:hunter2@proxy:1080",
            "is a SOCKS proxy, which is not supported; set an HTTP proxy instead, or leave it empty.",
        ),
        (
            "HTTPS_PROXY",
            "ftp://me:hunter2@proxy:1080",
            "is not the URL of a proxy; write one such as http://proxy.example.com:3128.",
        ),
        (
            "HTTP_PROXY",
            "http://me:hunter2@proxy:port",
            "is not the URL of a proxy; write one such as http://proxy.example.com:3128.",
        ),
        ("SSL_CERT_FILE", "/no/such.pem", 'there is no file "/no/such.pem"; name one that exists.'),
        ("SSL_CERT_FILE", __file__, f'"{__file__}" contains no certificates; name a file in PEM format.'),
        ("SYSTEM_PROMPT_FILE", "/no/such.txt", 'there is no file "/no/such.txt"; name one that exists.'),
        (
            "DATABASE_PATH",
            ":memory:",
            "the database must be a file; name one such as data/parley.db.",
        ),
        (
            "DATABASE_PATH",
            "sqlite:///parley.db",
            '"sqlite:///parley.db" is a URL; name a file such as data/parley.db.',
        ),
        *(
            ("METRICS_PORT", value, f'"{value}" is not valid; {METRICS}')
            for value in ("on", "0", "65536", ":9100", "localhost:9100", "127.0.0.1", "::1:9100", "[::1]", "1.2.3.4:x")
        ),
        ("LOG_LEVEL", "loud", f'"loud" is not a level; {LEVELS}'),
        ("LOG_FORMAT", "xml", '"xml" is not a format; choose text or json.'),
        ("LOG_MESSAGES", "maybe", '"maybe" is not valid; write true or false.'),
        ("QUEUE_PER_USER", "0", '"0" is not valid; write a whole number from 1 to 1000, in digits only.'),
        ("MAX_CONCURRENT_REPLIES", "0", '"0" is not valid; write a whole number from 1 to 10000, in digits only.'),
        ("RETENTION_DAYS", "-1", '"-1" is not valid; write a whole number from 0 to 36500, in digits only.'),
        (
            "CONTEXT_TOKENS",
            "8,000",
            '"8,000" is not valid; write a whole number from 100 to 2000000, in digits only.',
        ),
        ("REPLY_TOKENS", "0", '"0" is not valid; write a whole number from 1 to 500000, in digits only.'),
        ("MESSAGES_PER_REPLY", "5.5", '"5.5" is not valid; write a whole number from 1 to 100, in digits only.'),
        (
            "CONNECT_TIMEOUT",
            "nan",
            '"nan" is not valid; write seconds as a number above 0 and up to 300, such as 2.5.',
        ),
        (
            "FIRST_DELTA_TIMEOUT",
            "2m",
            '"2m" is not valid; write seconds as a number above 0 and up to 3600, such as 2.5.',
        ),
        (
            "SILENCE_TIMEOUT",
            "-60",
            '"-60" is not valid; write seconds as a number above 0 and up to 3600, such as 2.5.',
        ),
        (
            "SHUTDOWN_GRACE",
            "0",
            '"0" is not valid; write seconds as a number above 0 and up to 300, such as 2.5.',
        ),
        (
            "REPLY_TOKENS",
            "9000",
            TOO_LONG_A_REPLY,
        ),
        ("SERVERS", "foo", '"foo" is not valid; write owner, any, or the ids of servers.'),
        ("SERVERS", "owner, all2", f'"all2" is not an id; write the ids of servers, {IDS}'),
        ("SERVERS", "198622483471925248, all2", f'"all2" is not an id; write the ids of servers, {IDS}'),
        ("ALLOWED_USERS", "1986224834719252", f'"1986224834719252" is not an id; write the ids of people, {IDS}'),
        ("ALLOWED_USERS", "@anna", f'"@anna" is not an id; write the ids of people, {IDS}'),
        ("BLOCKED_USERS", "-198622483471925248", f'"-198622483471925248" is not an id; write the ids of people, {IDS}'),
        ("ALLOWED_ROLES", ",", f'"," is not an id; write the ids of roles, {IDS}'),
        (
            "BLOCKED_ROLES",
            "198622483471925248 198622483471925249",
            f'"198622483471925248 198622483471925249" is not an id; write the ids of roles, {IDS}',
        ),
        ("DIRECT_MESSAGES", "true", '"true" is not valid; write members, everyone or off.'),
        ("HOURLY_QUESTIONS_PER_USER", "0", '"0" is not valid; write a whole number from 1 to 100000, in digits only.'),
        ("DAILY_TOKENS_PER_USER", "999", f'"999" is not valid; {TOKENS}'),
        ("DAILY_TOKENS_PER_SERVER", "-1", f'"-1" is not valid; {TOKENS}'),
        ("DAILY_TOKENS_TOTAL", "2m", f'"2m" is not valid; {TOKENS}'),
        ("MODEL_SERVERS", "home", f"home has no address; write {HOME}."),
        ("MODEL_SERVERS", "=http://localhost/v1", f"an entry does not begin with a valid name; {NAMES}"),
        ("MODEL_SERVERS", "Home Server=http://localhost/v1", f'"Home Server" is not a valid name; {NAMES}'),
        ("MODEL_SERVERS", "8ball=http://localhost/v1", f'"8ball" is not a valid name; {NAMES}'),
        (
            "MODEL_SERVERS",
            "openai=http://localhost/v1",
            "openai is a reserved name; give the server another name.",
        ),
        ("MODEL_SERVERS", f"{HOME},{HOME}", "home is named twice; remove one of the two."),
        (
            "MODEL_SERVERS",
            "my-box=http://a/v1, my_box=http://b/v1",
            "my_box and my-box would share MY_BOX_API_KEY; give one of them another name.",
        ),
        (
            "MODEL_SERVERS",
            "home=localhost:11434/v1",
            'home "localhost:11434/v1" has no http:// or https://; did you mean http://localhost:11434/v1?',
        ),
        (
            "MODEL_SERVERS",
            "home=https://me:hunter2@example.com/v1",
            "home contains a name or a password; leave it out and put the key into HOME_API_KEY.",
        ),
        ("FALLBACK_MODEL", "gpt-6-luna", "this is OPENAI_MODEL itself; name another model, or leave it out."),
        ("EXTRA_BODY", '["temperature"]', NO_OBJECT),
        ("EXTRA_BODY", "{temperature: 0.7}", NO_OBJECT),
        ("EXTRA_BODY", '{"temperature": NaN}', NO_OBJECT),
        ("EXTRA_BODY", "[" * 100_000, NO_OBJECT),
        ("EXTRA_BODY", '{"max_tokens": 100}', '"max_tokens" is sent by the bot itself; set REPLY_TOKENS instead.'),
        ("EXTRA_BODY", '{"model": "x"}', '"model" is sent by the bot itself; set OPENAI_MODEL and MODELS instead.'),
        (
            "EXTRA_BODY",
            '{"reasoning_effort": "low"}',
            '"reasoning_effort" is sent by the bot itself; set REASONING_EFFORT instead.',
        ),
        ("EXTRA_BODY", '{"stream": false}', '"stream" is sent by the bot itself; leave it out.'),
        ("PRICES", "gpt-6-luna=0.10", f'"gpt-6-luna=0.10" is not a price; {PRICES}'),
        ("PRICES", "a=1/2, b=-1/2", f'"b=-1/2" is not a price; {PRICES}'),
        ("PRICES", "a=1/2/0.1/0", f'"a=1/2/0.1/0" is not a price; {PRICES}'),
        ("PRICES", "=1/2", f'"=1/2" is not a price; {PRICES}'),
        (
            "PRICES",
            "a=0.1/0.01/0.5",
            f'"a=0.1/0.01/0.5" {CHEAPER}',
        ),
        ("DAILY_BUDGET", "0.00", f'"0.00" is not valid; {MONEY}'),
        ("DAILY_BUDGET", "$1", f'"$1" is not valid; {MONEY}'),
        ("DAILY_BUDGET", "1e30", f'"1e30" is not valid; {MONEY}'),
    ],
)
def test_mistake_names_a_valid_value(name: str, value: str, problem: str) -> None:
    assert problems({name: value}) == [f"{name} in the environment: {problem}"]


@pytest.mark.parametrize(
    ("value", "address", "loopback"),
    [
        ("9100", "127.0.0.1:9100", True),
        ("127.0.0.2:9100", "127.0.0.2:9100", True),
        ("0.0.0.0:9100", "0.0.0.0:9100", False),
        ("[::1]:9100", "[::1]:9100", True),
        ("[::]:1", "[::]:1", False),
    ],
)
def test_figures_are_for_this_computer_unless_told_otherwise(value: str, address: str, loopback: bool) -> None:
    found = load(METRICS_PORT=value).metrics_port
    assert found is not None
    assert (str(found), found.is_loopback) == (address, loopback)


@pytest.mark.parametrize(
    ("value", "mistake"),
    [
        ("bot:hunter2@db/parley", "does not begin with postgresql://; write postgresql://USER:PASSWORD@HOST/DATABASE."),
        ("postgresql://bot:hunter2@db", "names no database; write postgresql://USER:PASSWORD@HOST/DATABASE."),
        (
            "postgresql://bot:hünter2@db/parley",
            "has a space or a character that URLs never have; write it with % and two digits.",
        ),
        (
            # What begins with the first '@' would count as the host, which is no secret.
            "postgresql://bot:hunter@2@db/parley",
            (
                "cannot be read as a URL; write postgresql://USER:PASSWORD@HOST/DATABASE, with % and two digits for"
                " '/', '@', ':' and '#'."
            ),
        ),
        (
            "postgresql://bot:hunter2@[db/parley",
            (
                "cannot be read as a URL; write postgresql://USER:PASSWORD@HOST/DATABASE, with % and two digits for"
                " '/', '@', ':' and '#'."
            ),
        ),
    ],
)
def test_mistakes_in_the_url_of_a_database_do_not_tell_its_password(value: str, mistake: str) -> None:
    assert problems({"DATABASE_URL": value}) == [f"DATABASE_URL in the environment: {mistake}"]


def test_database_is_a_file_or_on_a_server() -> None:
    url = "postgresql://bot:hunter%2F2@db.example.com/parley?password=hunter3"
    assert problems({"DATABASE_URL": url, "DATABASE_PATH": "parley.db"}) == [
        "DATABASE_URL in the environment: DATABASE_PATH is also set; keep one of the two."
    ]
    settings = load(DATABASE_URL=url, DATABASE_PATH="")
    assert settings.database_url is not None
    assert settings.database_url.reveal() == url
    assert "hunter" not in repr(settings)
    assert {url, "hunter%2F2", "hunter/2", "hunter3"} <= set(settings.secrets)
    server = database_of(settings)
    assert (str(server), "hunter" in repr(server)) == ("postgresql://bot@db.example.com/parley", False)
    assert database_of(load()) == Path("data/parley.db")


def test_figures_need_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.config.parsers.find_spec", lambda _: None)
    assert problems({"METRICS_PORT": "9100", "LOG_LEVEL": "loud"}) == [
        f'LOG_LEVEL in the environment: "loud" is not a level; {LEVELS}',
        (
            "METRICS_PORT in the environment: needs another package; run: python -m pip install"
            " 'prometheus-client>=0.26,<1', or leave the setting out."
        ),
    ]


def test_all_mistakes_are_reported_at_once(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text("OPENAI_MODLE=gpt\nthis is no setting\nLOG_LEVEL=loud\nHOMEPAGE=https://example.com\n")
    with pytest.raises(SettingsError) as caught:
        Settings.load({"CONNECT_TIMEOUT": "soon"}, env_file, needs=(DISCORD, MODEL))
    assert str(caught.value).splitlines()[1:] == [
        f"  - {env_file}: line 2 cannot be read; write NAME=value.",
        "  - OPENAI_MODLE: unknown; did you mean OPENAI_MODEL?",
        f'  - LOG_LEVEL in .env: "loud" is not a level; {LEVELS}',
        (
            '  - CONNECT_TIMEOUT in the environment: "soon" is not valid; write seconds as a number above 0 and up to'
            " 300, such as 2.5."
        ),
        f"  - DISCORD_TOKEN: not set; {TAB}",
        f"  - {NO_MODEL}",
    ]


@pytest.mark.parametrize("name", SETTINGS)
def test_quotation_marks_around_a_value_are_taken_off(name: str, tmp_path: Path) -> None:
    prompt = tmp_path / "prompt.txt"
    prompt.write_text("Be a pirate.")
    examples = {
        "DISCORD_TOKEN": TOKEN,
        "OPENAI_API_KEY": "sk-1",
        "OPENAI_BASE_URL": "http://localhost:11434/v1",
        "MODELS": "small, large",
        "FALLBACK_MODEL": "large",
        "SUMMARY_MODEL": "small",
        "VISION_MODEL": "large",
        "TRANSCRIPTION_MODEL": "hears",
        "MODEL_SERVERS": HOME,
        "EXTRA_BODY": "{}",
        "PRICES": "small=0.10/0.50",
        "METRICS_PORT": "0.0.0.0:9100",
        "DATABASE_URL": "postgresql://bot:hunter2@db.example.com/parley",
        "DAILY_BUDGET": "1.00",
        "SYSTEM_PROMPT": "Don’t be a pirate.",
        "SYSTEM_PROMPT_FILE": str(prompt),
        **dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"), "http://me:hunter2@proxy.example.com:3128"),
        "NO_PROXY": "localhost, .example.com",
        **dict.fromkeys(("ALLOWED_USERS", "ALLOWED_ROLES", "BLOCKED_USERS", "BLOCKED_ROLES"), "198622483471925248"),
    }
    if name == "SSL_CERT_FILE":
        examples[name] = str(certificate(tmp_path)[0])
    value = SETTINGS[name].default or examples[name]
    others = {"OPENAI_API_KEY": "sk-1", **({"PRICES": "gpt-6-luna=0.10/0.50"} if name == "DAILY_BUDGET" else {})}
    meant = load(**others | {name: value})
    for mark in "\"'":
        quoted = f" {mark}{value} {mark} "
        assert load(**others | {name: quoted}) == meant
        (tmp_path / ".env").write_text(f"{name}={quoted}\n")
        assert Settings.load(others | {name: mark * 2}, tmp_path / ".env") == meant
        for half in (mark + value, value + mark, f"{mark}{value}{mark} # a comment"):
            if name == "SYSTEM_PROMPT":
                assert load(SYSTEM_PROMPT=half).system_prompt == half
            else:
                only = f"{name} in the environment: begins or ends with a quotation mark; remove it."
                assert problems(others | {name: half}) == [only]


def test_prompt_may_begin_and_end_with_quotations() -> None:
    prompt = '"Ahoy" is what you say first, and last "Farewell"'
    assert load(SYSTEM_PROMPT=prompt).system_prompt == prompt


@pytest.mark.parametrize("model", [{"OPENAI_API_KEY": "sk-1"}, {"OPENAI_BASE_URL": "http://localhost:11434/v1/"}])
def test_token_and_model_are_enough_for_the_bot(model: dict[str, str]) -> None:
    settings = Settings.load({"DISCORD_TOKEN": f"Bot {TOKEN}\n", **model}, None, needs=(DISCORD, MODEL))
    assert settings.discord_token == Secret(TOKEN)
    assert settings.model_configured
    assert settings.openai_base_url in (None, "http://localhost:11434/v1")


def test_demo_needs_no_settings(tmp_path: Path) -> None:
    settings = Settings.load({}, tmp_path / "absent")
    assert not settings.model_configured
    assert settings.system_prompt == DEFAULT_SYSTEM_PROMPT
    assert (settings.database_path, settings.reply_tokens, settings.silence_timeout) == (
        Path("data/parley.db"),
        4000,
        60.0,
    )


def test_default_quotas_protect_against_strangers() -> None:
    settings = load()
    assert (settings.servers, settings.direct_messages) == (Servers(owner=True), "members")
    assert (settings.hourly_questions_per_user, settings.daily_tokens_per_user) == (20, 200_000)
    assert (settings.daily_tokens_per_server, settings.daily_tokens_total) == (1_000_000, 2_000_000)


def test_lists_are_separated_by_commas() -> None:
    settings = load(
        SERVERS="198622483471925248,198622483471925249,",
        ALLOWED_ROLES=" 198622483471925250 ",
        DIRECT_MESSAGES="OFF",
        OPENAI_MODEL="small",
        MODELS="large, small,, llama3.2:1b",
        PRICES="small=0.4/1.60, llama3.2:1b = 0/0",
    )
    ids = frozenset({198622483471925248, 198622483471925249})
    assert settings.servers == Servers(ids=ids), "the owner's are not served then"
    assert load(SERVERS="Owner, 198622483471925248,198622483471925249").servers == Servers(owner=True, ids=ids)
    assert load(SERVERS="ANY").servers == Servers(any=True)
    assert settings.allowed_roles == frozenset({198622483471925250})
    assert settings.allowed_users is None
    assert settings.direct_messages == "off"
    assert settings.offered_models == ("small", "large", "llama3.2:1b")
    assert settings.prices == {"small": Price(400_000, 1_600_000, 400_000), "llama3.2:1b": Price(0, 0, 0)}
    assert load(PRICES="cloud:a=b = 0.1 / 0.5 / 0.0036251, c=1/1/1").prices == {
        "cloud:a=b": Price(100_000, 500_000, 3_626),
        "c": Price(MICRO, MICRO, MICRO),
    }


def test_budget_needs_the_price_of_every_model() -> None:
    assert load(DAILY_BUDGET="1.005", PRICES="gpt-6-luna=0.10/0.50").daily_budget == 1_005_000
    assert problems({"DAILY_BUDGET": "1"}) == [
        f'DAILY_BUDGET in the environment: needs the price of every model. PRICES has none for "gpt-6-luna"; {UNPRICED}'
    ]
    several = {"OPENAI_MODEL": "a", "MODELS": "b,c,a", "PRICES": "b=1/1", "DAILY_BUDGET": "1", "LOG_FORMAT": "xml"}
    assert [each.partition(";")[0] for each in problems(several)] == [
        'LOG_FORMAT in the environment: "xml" is not a format',
        'DAILY_BUDGET in the environment: needs the price of every model. PRICES has none for "a", "c"',
    ]
    several = {"FALLBACK_MODEL": "b", "PRICES": "gpt-6-luna=1/1", "DAILY_BUDGET": "1"}
    assert problems(several)[0].startswith(
        'DAILY_BUDGET in the environment: needs the price of every model. PRICES has none for "b";'
    )
    several = {"TRANSCRIPTION_MODEL": "hears", "PRICES": "gpt-6-luna=1/1", "DAILY_BUDGET": "1"}
    assert 'PRICES has none for "hears";' in problems(several)[0]
    assert len(problems({"DAILY_BUDGET": "1", "PRICES": "cheap"})) == 1, "what PRICES says is not known"


@pytest.mark.parametrize(
    ("host", "private"),
    [
        ("localhost", True),
        ("127.0.0.1:8080", True),
        ("[::1]:8080", True),
        ("10.1.2.3", True),
        ("172.31.0.1", True),
        ("172.32.0.1", False),
        ("192.168.1.20", True),
        ("169.254.3.4", True),
        ("100.64.0.7", True),
        ("[fd12:3456::1]", True),
        ("[fe80::1]", True),
        ("8.8.8.8", False),
        ("[2001:4860:4860::8888]", False),
        ("Mac.local.", True),
        ("ollama:11434", True),
        ("host.docker.internal:11434", True),
        ("api.openai.com", False),
        ("local.example.com", False),
    ],
)
def test_tokens_of_a_private_server_are_not_limited_by_default(host: str, private: bool) -> None:
    quotas = load(OPENAI_BASE_URL=f"http://{host}/v1").quotas
    assert quotas == (Quotas(20, None, None, None) if private else Quotas())
    given = load(OPENAI_BASE_URL=f"http://{host}/v1", DAILY_TOKENS_TOTAL="2000000", DAILY_TOKENS_PER_USER="5000").quotas
    assert given == Quotas(20, 5_000, None if private else 1_000_000, 2_000_000)


def test_tokens_are_limited_unless_every_server_is_private() -> None:
    local = {"MODEL_SERVERS": HOME, "OPENAI_MODEL": "home:qwen3"}
    assert load(**local).quotas == Quotas(20, None, None, None)
    assert load(**local, OPENAI_BASE_URL="http://box.lan/v1").quotas == Quotas(20, None, None, None)
    assert load(**local, OPENAI_API_KEY="sk-1").quotas == Quotas()
    assert load(**local | {"MODEL_SERVERS": f"{HOME},{CLOUD}"}).quotas == Quotas()


def test_nothing_is_limited_that_is_not_set_if_so_asked() -> None:
    assert Settings.load({}, env_file=None, default_limits=False).quotas == NO_LIMITS
    given = {"HOURLY_QUESTIONS_PER_USER": "3", "DAILY_TOKENS_TOTAL": "5000"}
    assert Settings.load(given, env_file=None, default_limits=False).quotas == Quotas(3, None, None, 5_000)


def test_budget_takes_the_place_of_the_default_total() -> None:
    budget = {"DAILY_BUDGET": "1", "PRICES": "gpt-6-luna=0.10/0.50"}
    assert load(**budget).quotas == Quotas(20, 200_000, 1_000_000, None, MICRO)
    assert load(**budget, DAILY_TOKENS_TOTAL="5000").quotas == Quotas(20, 200_000, 1_000_000, 5_000, MICRO)


def test_each_model_server_has_its_own_key_and_body() -> None:
    settings = load(
        OPENAI_API_KEY="sk-default",
        MODEL_SERVERS=f"{CLOUD}/, my-box=http://box.lan:8080/v1,",
        CLOUD_API_KEY="sk-cloud",
        EXTRA_BODY='{"temperature": 0.7}',
        MY_BOX_EXTRA_BODY='{"chat_template_kwargs": {"enable_thinking": false}}',
        MODELS="cloud:gpt-6-luna, llama3:8b",
        FALLBACK_MODEL="my-box:qwen3",
        PRICES="cloud:gpt-6-luna=1/2",
    )
    everywhere, in_the_box = {"temperature": 0.7}, {"chat_template_kwargs": {"enable_thinking": False}}
    assert {
        name: (server.base_url, server.api_key, server.extra_body)
        for name, server in settings.all_model_servers.items()
    } == {
        "": (None, Secret("sk-default"), everywhere),
        "cloud": ("https://api.openai.com/v1", Secret("sk-cloud"), everywhere),
        "my-box": ("http://box.lan:8080/v1", None, in_the_box),
    }
    servers = settings.generation.servers
    assert [servers.split(each) for each in ("llama3:8b", "cloud:gpt-6-luna", "my-box:qwen3:8b")] == [
        ("", "llama3:8b"),
        ("cloud", "gpt-6-luna"),
        ("my-box", "qwen3:8b"),
    ], "a colon leads to another server only behind the name of one"
    assert [servers.provider(each) for each in ("llama3:8b", "cloud:gpt-6-luna", "my-box:qwen3")] == [
        "OpenAI",
        "OpenAI",
        "box.lan",
    ]
    assert settings.prices is not None
    assert list(settings.prices) == ["cloud:gpt-6-luna"]
    assert set(settings.secrets) == {"sk-default", "sk-cloud"}
    assert "sk-" not in repr(settings)


def test_model_servers_need_no_default_one() -> None:
    settings = Settings.load(
        {"DISCORD_TOKEN": TOKEN, "MODEL_SERVERS": HOME, "OPENAI_MODEL": "home:qwen3"}, None, needs=(DISCORD, MODEL)
    )
    assert list(settings.all_model_servers) == ["home"]
    assert settings.model_configured
    assert not load(OPENAI_MODEL="home:qwen3").model_configured, "that is the name of a model then"


def test_every_mistake_with_several_servers_is_reported_at_once(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text("CLUOD_API_KEY=x\nGROQ_API_KEY=x\nhome_extra_body={}\nOPENAI_KEY=x\nCLOUD_API_KEY=ok\n")
    environ = {
        "MODEL_SERVERS": f"{CLOUD},{HOME},llama3=http://localhost:8080/v1",
        "HOME_API_KEY": "your-key",
        "HOME_EXTRA_BODY": '{"n": 2, "stream_options": {}}',
        "MODELS": "cloud:, llama3:8b, llama3:Qwen3-8B-GGUF",
        "FALLBACK_MODEL": "llama3:latest",
        "PRICES": "home:=1/2, forgotten=1/2",
    }
    tag = "could be a model called {0} on the server llama3, or a model called llama3:{0}; give the server another name"
    assert problems(environ, env_file) == [
        "CLUOD_API_KEY: unknown; did you mean CLOUD_API_KEY?",
        "GROQ_API_KEY: there is no server groq in MODEL_SERVERS; name it there, or remove this line.",
        "home_extra_body: unknown; did you mean HOME_EXTRA_BODY?",
        "OPENAI_KEY: unknown; did you mean OPENAI_API_KEY?",
        "HOME_API_KEY in the environment: still the placeholder of an example; put the key of home in its place.",
        'HOME_EXTRA_BODY in the environment: "n" is sent by the bot itself; leave it out.',
        'HOME_EXTRA_BODY in the environment: "stream_options" is sent by the bot itself; leave it out.',
        (
            'OPENAI_MODEL: "gpt-6-luna" is not on a server in MODEL_SERVERS; write cloud:MODEL, or set'
            " OPENAI_API_KEY or OPENAI_BASE_URL for a server without a name."
        ),
        'MODELS in the environment: "cloud:" names the server cloud but none of its models; write cloud:MODEL.',
        f'MODELS in the environment: "llama3:8b" {tag.format("8b")} in MODEL_SERVERS.',
        f'FALLBACK_MODEL in the environment: "llama3:latest" {tag.format("latest")} in MODEL_SERVERS.',
        'PRICES in the environment: "home:" names the server home but none of its models; write home:MODEL.',
    ]


def test_environment_overrides_the_file(tmp_path: Path) -> None:
    env_file = tmp_path / ".env"
    env_file.write_bytes(
        "\ufeffOPENAI_API_KEY='sk-$HOME'  # kept as it is\r\n"
        "export OPENAI_MODEL=file\r\n"
        "LOG_LEVEL=debug\r\n"
        "CONTEXT_TOKENS=\r\n".encode()
    )
    settings = Settings.load({"OPENAI_MODEL": "environment", "LOG_LEVEL": " "}, env_file)
    assert settings.openai_api_key == Secret("sk-$HOME")
    assert settings.openai_model == "environment"
    assert settings.log_level == "DEBUG"
    assert settings.context_tokens == 8000


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("discord_token", "DISCORD_TOKEN"),
        ("DISCORD_BOT_TOKEN", "DISCORD_TOKEN"),
        ("OPENAI_KEY", "OPENAI_API_KEY"),
        ("OPENAI_API_BASE", "OPENAI_BASE_URL"),
        ("REPLY_TOKEN", "REPLY_TOKENS"),
    ],
)
def test_misspelt_name_is_a_mistake_only_in_the_file(tmp_path: Path, written: str, meant: str) -> None:
    env_file = tmp_path / ".env"
    env_file.write_text(f"{written}=x\n")
    assert problems({}, env_file) == [f"{written}: unknown; did you mean {meant}?"]
    assert Settings.load({written: "x"}, None) == load()


def test_unusable_file_is_one_sentence(tmp_path: Path) -> None:
    utf_16 = tmp_path / "utf-16"
    utf_16.write_text("LOG_LEVEL=INFO", encoding="utf-16")  # what `>` writes in Windows PowerShell
    assert problems({}, utf_16) == [f"{utf_16}: is not UTF-8; save it as UTF-8 text."]
    assert problems({}, tmp_path) == [
        f"{tmp_path}: cannot be read (Is a directory); make it a file that this user may read."
    ]


def test_system_prompt_has_one_source(tmp_path: Path) -> None:
    file = tmp_path / "prompt.txt"
    file.write_text("\ufeff Tu es un pirate.\n", encoding="utf-8")
    assert load(SYSTEM_PROMPT_FILE=str(file)).system_prompt == "Tu es un pirate."
    assert load(SYSTEM_PROMPT="Be a pirate.").system_prompt == "Be a pirate."
    both = {"SYSTEM_PROMPT": "Be a pirate.", "SYSTEM_PROMPT_FILE": str(file)}
    assert problems(both) == ["SYSTEM_PROMPT_FILE in the environment: SYSTEM_PROMPT is also set; keep one of the two."]
    file.write_bytes(b"\xe9")
    wrong = {"SYSTEM_PROMPT_FILE": str(file)}
    assert problems(wrong) == [f'SYSTEM_PROMPT_FILE in the environment: "{file}" is not UTF-8; save it as UTF-8 text.']
    file.write_text(" \n")
    assert problems(wrong) == [
        f'SYSTEM_PROMPT_FILE in the environment: "{file}" is empty; write the prompt into it, or leave the setting out.'
    ]


def test_directory_is_no_database(tmp_path: Path) -> None:
    inside = tmp_path / "parley.db"
    assert problems({"DATABASE_PATH": str(tmp_path)}) == [
        f'DATABASE_PATH in the environment: "{tmp_path}" is a directory; name a file in it such as {inside}.'
    ]


def test_secrets_are_never_shown(caplog: pytest.LogCaptureFixture) -> None:
    settings = load(DISCORD_TOKEN=TOKEN, OPENAI_API_KEY="sk-hunter2")
    logging.getLogger("test").warning("%s %r", settings, settings.openai_api_key)
    shown = f"{settings} {settings!r} {settings.discord_token} {settings.openai_api_key} {caplog.text}"
    assert "hunter2" not in shown
    assert TOKEN not in shown
    for name, value in [
        ("DISCORD_TOKEN", "hunter2 with a space"),
        ("DISCORD_TOKEN", "hunter2" + "x" * 25),
        ("OPENAI_API_KEY", "your-hunter2"),
        ("OPENAI_BASE_URL", "me:hunter2@example.com"),
        ("OPENAI_BASE_URL", "http://[hunter2@example.com"),
        ("OPENAI_BASE_URL", "https://example.com/?hunter2"),
        ("MODEL_SERVERS", "https://me:hunter2@example.com/v1=x"),
        ("MODEL_SERVERS", "home=https://me:hunter2@example.com/v1"),
        ("EXTRA_BODY", '{"key": "hunter2"'),
    ]:
        with pytest.raises(SettingsError) as caught:
            load(**{name: value})
        assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_proxies_are_read_as_elsewhere(tmp_path: Path) -> None:
    assert load(ALL_PROXY="proxy:1").network == Network("http://proxy:1", "http://proxy:1")
    # The lower case counts first, the environment before the file.
    both = {"https_proxy": "http://lower:1", "HTTPS_PROXY": "http://upper:1", "ALL_PROXY": "http://all:1"}
    assert load(**both).network == Network("http://lower:1", "http://all:1")
    (tmp_path / ".env").write_text("https_proxy=http://file:1\nno_proxy=example.com, .lan\n")
    settings = Settings.load({"HTTPS_PROXY": "http://environment:1"}, tmp_path / ".env")
    assert settings.network == Network("http://environment:1", no_proxy=("example.com", ".lan"))
    # As on many desktops.
    desktop = {"HTTP_PROXY": "http://127.0.0.1:7890", "HTTPS_PROXY": "http://127.0.0.1:7890"}
    assert load(**desktop, ALL_PROXY="socks5://127.0.0.1:7890").network == load(**desktop).network
    secret = load(HTTPS_PROXY="http://me:hunter%32@proxy:1")
    assert "hunter" not in f"{secret!r} {secret.network!r}"
    assert {"me:hunter%32", "hunter%32", "me:hunter2", "hunter2"} < set(secret.network.secrets)


def test_list_shows_every_setting_with_its_default() -> None:
    lines = listing().splitlines()
    for name, setting in SETTINGS.items():
        assert (f"  {name}={setting.default}" if setting.default else f"  {name}") in lines
        assert setting.help in " ".join(listing().split())
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("auto", None),
        ("3", 3),
        ("4/8", WantedShards(8, None, 4)),
        ("0-3/8", WantedShards(8, range(4))),
        ("7-7/8", WantedShards(8, range(7, 8))),
    ],
)
def test_shards_of_one_or_of_several_processes(value: str, wanted: object) -> None:
    environ = {"SHARDS": value, "DATABASE_URL": "postgresql://bot@db.example.com/parley"}
    assert Settings.load(environ).shards == wanted


NO_SHARDS = (
    "write auto, a whole number from 1 to 1000, or for one of several processes some shards of all, such as 4/8 or"
    " 0-3/8."
)


@pytest.mark.parametrize(
    ("value", "mistake"),
    [
        ("0/8", "of 8 shards, write how many, such as 4/8, or which of 0-7, such as 0-3/8."),
        ("9/8", "of 8 shards, write how many, such as 4/8, or which of 0-7, such as 0-3/8."),
        ("4-8/8", "of 8 shards, write how many, such as 4/8, or which of 0-7, such as 0-3/8."),
        ("3-1/4", "of 4 shards, write how many, such as 2/4, or which of 0-3, such as 0-1/4."),
        ("1/1", "write a number from 2 to 1000 after the '/'."),
        ("1/2000", "write a number from 2 to 1000 after the '/'."),
        ("half", NO_SHARDS),
        ("0", NO_SHARDS),
        ("1001", NO_SHARDS),
    ],
)
def test_shards_that_are_not_there_are_a_mistake(value: str, mistake: str) -> None:
    assert problems({"SHARDS": value, "DATABASE_URL": "postgresql://bot@db.example.com/parley"}) == [
        f'SHARDS in the environment: "{value}" is not valid; {mistake}'
    ]


def test_several_processes_need_a_server() -> None:
    assert problems({"SHARDS": "4/8"}) == [
        (
            "SHARDS in the environment: several processes need a PostgreSQL database; set DATABASE_URL, or SHARDS=auto"
            " for one process."
        )
    ]
