"""Settings from a mapping and a `.env` file. All mistakes are reported together.

The annotations of `Settings` are the one table of settings: their names, defaults, help and parsers. The help text and
the test of the documentation derive from it. Nothing else in this project reads the environment.
"""

from __future__ import annotations

import os
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from io import StringIO
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_type_hints
from urllib.parse import SplitResult, urlsplit

from dotenv.parser import parse_stream

from bot.errors import SettingsError

DEFAULT_SYSTEM_PROMPT = """\
You are a friendly, knowledgeable partner in a chat. Answer in the language the person writes in. Be brief and \
conversational: a few sentences are usually enough; go into detail when the question needs it or the person asks. \
When you do not know something, say so instead of guessing. Write plain paragraphs; use short lists, bold text and \
fenced code blocks with their language where they help, and headings or tables only when they are asked for."""

_BOT_TAB = "copy the bot's token from the Bot tab of its application at https://discord.com/developers/applications"
_OPENAI_HOST = "api.openai.com"
_PLACEHOLDER = re.compile(r"(sk-)?(your|paste|insert)[-_ ].*|<.*>|.*(\.\.\.|…|\*\*\*)|x{3,}|change-?me", re.IGNORECASE)
_LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_LOG_FORMATS = ("text", "json")
_OTHER_NAMES = {"OPENAI_API_BASE": "OPENAI_BASE_URL", "BOT_TOKEN": "DISCORD_TOKEN", "TOKEN": "DISCORD_TOKEN"}
"""Names that other bots and older clients use, too far from ours to be found by likeness."""


class _Mistake(Exception):
    """What is wrong with a value and what would be right, as the end of a sentence that began with the name."""


@dataclass(frozen=True, slots=True)
class Secret:
    """A text that shows itself only to those who ask for it by `reveal`."""

    _value: str = field(repr=False)

    def __repr__(self) -> str:
        return "Secret(…)"

    def reveal(self) -> str:
        return self._value


@dataclass(frozen=True, slots=True)
class Price:
    """What a million tokens cost, in the operator's currency."""

    prompt: float
    reply: float


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table. `default` is text as one would write it, or empty where not setting it means None."""

    default: str
    help: str
    parse: Callable[[str], object]


@dataclass(frozen=True, slots=True)
class Need:
    """What a command cannot do without: one of these settings."""

    any_of: tuple[str, ...]
    missing: str


DISCORD = Need(("DISCORD_TOKEN",), f"DISCORD_TOKEN: not set; {_BOT_TAB}.")
MODEL = Need(
    ("OPENAI_API_KEY", "OPENAI_BASE_URL"),
    "OPENAI_API_KEY: not set, nor is OPENAI_BASE_URL; set the key of your provider, the URL of a server of your own,"
    " such as http://localhost:11434/v1, or both.",
)


def _secret(what: str) -> Callable[[str], Secret]:
    def parse(value: str) -> Secret:
        if _PLACEHOLDER.fullmatch(value):
            raise _Mistake(f"still the placeholder of an example; put {what} in its place")
        if not value.isascii() or not value.isprintable() or re.search(r"[\s\"'`]", value):
            raise _Mistake(f"has a space, a quotation mark or another character that {what} never has; copy it again")
        return Secret(value)

    return parse


def _token(value: str) -> Secret:
    token = _secret("the bot's token")(re.sub(r"^Bot\s+", "", value))
    if re.fullmatch(r"\d{15,21}", token.reveal()):
        raise _Mistake(f"this is an id, not the token; {_BOT_TAB}")
    if re.fullmatch(r"[0-9a-f]{64}", token.reveal()):
        raise _Mistake(f"this looks like the application's public key; {_BOT_TAB}")
    if re.fullmatch(r"[\w-]{32}", token.reveal()):
        raise _Mistake(f"this looks like the application's client secret; {_BOT_TAB}")
    return token


def _is_local(host: str) -> bool:
    try:
        return ip_address(host).is_private
    except ValueError:
        return "." not in host or host.endswith((".local", ".internal", ".lan"))


def _split(url: str) -> SplitResult | None:
    """The URL's pieces, or None where it cannot be one."""
    try:
        pieces = urlsplit(url)
        _ = pieces.port  # only reading it checks it
    except ValueError:
        return None
    return pieces


def _base_url(value: str) -> str:
    # These come first because what they find may hold a password, which no message may repeat.
    if "@" in value:
        raise _Mistake("holds a name or a password; leave it out and put the key into OPENAI_API_KEY")
    if re.search(r"[?#]", value):
        raise _Mistake("has a '?' or a '#'; leave out everything from there on")
    if "://" not in value:
        pieces = _split(f"http://{value}")
        scheme = "http" if pieces and pieces.hostname and _is_local(pieces.hostname) else "https"
        raise _Mistake(f"{_quoted(value)} lacks its scheme; did you mean {scheme}://{value.lstrip('/')}?")
    pieces = _split(value)
    if pieces is None or pieces.scheme not in ("http", "https") or not pieces.hostname or re.search(r"\s", value):
        raise _Mistake(f"{_quoted(value)} is not an http or https URL; write one such as http://localhost:11434/v1")
    url = value.rstrip("/")
    if url.endswith("/chat/completions"):
        raise _Mistake(f"ends with the path that is added to it; did you mean {url.removesuffix('/chat/completions')}?")
    return url


def _path(value: str) -> Path:
    try:
        return Path(value).expanduser()
    except RuntimeError:
        raise _Mistake(f"{_quoted(value)} begins with '~', but this user has no home; write the whole path") from None


def _database_path(value: str) -> Path:
    if value == ":memory:":
        raise _Mistake("a bot that forgets everything at its end is not supported; name a file such as data/parley.db")
    if "://" in value:
        raise _Mistake(f"{_quoted(value)} is a URL; name a file such as data/parley.db")
    path = _path(value)
    if value.endswith(("/", "\\")) or os.path.isdir(path):  # unlike Path.is_dir, no error where it may not look
        raise _Mistake(f"{_quoted(value)} is a directory; name a file in it such as {path / 'parley.db'}")
    return path


def _log_level(value: str) -> str:
    if value.upper() not in _LOG_LEVELS:
        raise _Mistake(f"{_quoted(value)} is no level; choose {', '.join(_LOG_LEVELS[:-1])} or {_LOG_LEVELS[-1]}")
    return value.upper()


def _log_format(value: str) -> str:
    if value.lower() not in _LOG_FORMATS:
        raise _Mistake(f"{_quoted(value)} is no format; choose {' or '.join(_LOG_FORMATS)}")
    return value.lower()


def _flag(value: str) -> bool:
    if value.lower() not in ("true", "false"):
        raise _Mistake(f"{_quoted(value)} will not do; write true or false")
    return value.lower() == "true"


def _whole(low: int, high: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        if re.fullmatch(r"[+-]?[0-9]{1,12}", value) and low <= int(value) <= high:
            return int(value)
        raise _Mistake(f"{_quoted(value)} will not do; write a whole number from {low} to {high}, in digits only")

    return parse


def _seconds(high: int) -> Callable[[str], float]:
    def parse(value: str) -> float:
        if re.fullmatch(r"[0-9]{1,6}(\.[0-9]+)?", value) and 0 < float(value) <= high:
            return float(value)
        raise _Mistake(f"{_quoted(value)} will not do; write seconds as a number above 0 and up to {high}, such as 2.5")

    return parse


def _ids(whose: str) -> Callable[[str], frozenset[int]]:
    def parse(value: str) -> frozenset[int]:
        ids = [each.strip() for each in value.split(",") if each.strip()]
        for each in ids:
            if not re.fullmatch(r"[0-9]{15,20}", each):
                raise _Mistake(
                    f"{_quoted(each)} is no id; write {whose}, 17 to 20 digits each, with commas between them (Discord"
                    " copies ids with a right click once Developer Mode is on: User Settings, Advanced)"
                )
        return frozenset(map(int, ids))

    return parse


def _servers(value: str) -> Literal["owner", "any"] | frozenset[int]:
    if value.lower() == "owner":
        return "owner"
    if value.lower() == "any":
        return "any"
    if not re.search(r"[0-9]", value):
        raise _Mistake(f"{_quoted(value)} will not do; write owner, any, or the ids of servers")
    return _ids("the ids of servers")(value)


def _direct_messages(value: str) -> Literal["members", "everyone", "off"]:
    for choice in ("members", "everyone", "off"):
        if value.lower() == choice:
            return choice
    raise _Mistake(f"{_quoted(value)} will not do; write members, everyone or off")


def _models(value: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for each in value.split(",") if (name := each.strip())))


def _prices(value: str) -> Mapping[str, Price]:
    prices = {}
    for each in filter(None, map(str.strip, value.split(","))):
        found = re.fullmatch(r"(.+?)\s*=\s*([0-9]{1,6}(?:\.[0-9]+)?)\s*/\s*([0-9]{1,6}(?:\.[0-9]+)?)", each)
        if found is None:
            raise _Mistake(
                f"{_quoted(each)} is no price; write the model and what a million tokens of its context and of its"
                " replies cost, such as gpt-4.1-mini=0.40/1.60, with commas between models"
            )
        prices[found[1]] = Price(float(found[2]), float(found[3]))
    return prices


def _quoted(value: str) -> str:
    return f'"{value if len(value) <= 200 else value[:200] + "…"}"'


_TOKENS = _whole(1, 999_999_999_999)
_PEOPLE, _ROLES = "the ids of people", "the ids of roles"


@dataclass(frozen=True, slots=True)
class Settings:
    """What the operator decides. Times are seconds. Every text is stripped and not empty."""

    discord_token: Annotated[
        Secret | None,
        Setting("", "The bot's token, from the Bot tab of its application in Discord's developer portal.", _token),
    ]
    openai_api_key: Annotated[
        Secret | None,
        Setting("", "The key of the model's provider. A server of your own needs none.", _secret("the provider's key")),
    ]
    openai_base_url: Annotated[
        str | None,
        Setting("", "Where the model is served, up to and with /v1. Not set: OpenAI's own API.", _base_url),
    ]
    openai_model: Annotated[str, Setting("gpt-4.1-mini", "The model's name, as its server spells it.", str)]
    models: Annotated[
        tuple[str, ...] | None,
        Setting("", "More models of that server that /model offers, with commas between them. Not set: none.", _models),
    ]
    prices: Annotated[
        Mapping[str, Price] | None,
        Setting(
            "",
            "What a million tokens of a model cost, context/reply, for the usage reports: gpt-4.1-mini=0.40/1.60, …",
            _prices,
        ),
    ]
    system_prompt: Annotated[
        str, Setting("", "What the model is told before everything else. Not set: a prompt made for chatting.", str)
    ]
    system_prompt_file: Annotated[
        Path | None, Setting("", "A text file (UTF-8) to take the system prompt from instead.", _path)
    ]
    database_path: Annotated[
        Path, Setting("data/parley.db", "The file that keeps the conversations. Made if missing.", _database_path)
    ]
    log_level: Annotated[str, Setting("INFO", "How much is logged: DEBUG, INFO, WARNING, ERROR, CRITICAL.", _log_level)]
    log_format: Annotated[
        str, Setting("text", "How a line of the log is written: text, or json for one object a line.", _log_format)
    ]
    log_messages: Annotated[
        bool, Setting("false", "Whether the log may hold what people and the model write: true or false.", _flag)
    ]
    context_tokens: Annotated[
        int, Setting("8000", "How much of a conversation the model is reminded of, in tokens.", _whole(100, 2_000_000))
    ]
    reply_tokens: Annotated[int, Setting("4000", "How long a reply may grow, in tokens.", _whole(1, 500_000))]
    messages_per_reply: Annotated[
        int,
        Setting("5", "After this many messages a long reply in a server comes as an attached file.", _whole(1, 100)),
    ]
    connect_timeout: Annotated[float, Setting("10", "Seconds to wait for a connection to the model.", _seconds(300))]
    first_delta_timeout: Annotated[
        float, Setting("120", "Seconds to wait for the first words, while a local model loads.", _seconds(3600))
    ]
    silence_timeout: Annotated[
        float, Setting("60", "Seconds without a word in the middle of a reply until it is given up.", _seconds(3600))
    ]
    shutdown_grace: Annotated[
        float, Setting("8", "Seconds that running replies get to end in when the bot is stopped.", _seconds(300))
    ]
    replies_at_once: Annotated[
        int, Setting("100", "How many replies may be under way at the same time.", _whole(1, 10_000))
    ]
    queue_per_person: Annotated[
        int, Setting("5", "How many questions of one person may wait in one conversation.", _whole(1, 1000))
    ]
    queue_per_conversation: Annotated[
        int, Setting("25", "How many questions may wait in one conversation.", _whole(1, 10_000))
    ]
    queue_in_all: Annotated[
        int, Setting("500", "How many questions may wait in all conversations.", _whole(1, 100_000))
    ]
    recover_within: Annotated[
        float,
        Setting(
            "900",
            "Seconds after which a question that came while the bot was away is no longer answered.",
            _seconds(86_400),
        ),
    ]
    catch_up_per_channel: Annotated[
        int,
        Setting("3", "How many questions that came while the bot was away are answered in a channel.", _whole(0, 100)),
    ]
    retention_days: Annotated[
        int, Setting("90", "Days until a conversation that nobody uses is deleted. 0: never.", _whole(0, 36_500))
    ]

    servers: Annotated[
        Literal["owner", "any"] | frozenset[int],
        Setting(
            "owner",
            "Which servers are served: owner (those that the application's owner is in), any, or ids with commas"
            " between them.",
            _servers,
        ),
    ]
    direct_messages: Annotated[
        Literal["members", "everyone", "off"],
        Setting(
            "members",
            "Whose direct messages are answered: members (of a served server), everyone, off.",
            _direct_messages,
        ),
    ]
    allowed_people: Annotated[
        frozenset[int] | None,
        Setting(
            "", "The ids of the people who may use the bot. With ALLOWED_ROLES not set either: all.", _ids(_PEOPLE)
        ),
    ]
    allowed_roles: Annotated[
        frozenset[int] | None, Setting("", "The ids of roles whose members may use the bot as well.", _ids(_ROLES))
    ]
    blocked_people: Annotated[
        frozenset[int] | None, Setting("", "The ids of people who may not use the bot anywhere.", _ids(_PEOPLE))
    ]
    blocked_roles: Annotated[
        frozenset[int] | None, Setting("", "The ids of roles whose members may not use the bot.", _ids(_ROLES))
    ]
    prompts_per_hour: Annotated[
        int, Setting("20", "How many questions one person may ask in an hour.", _whole(1, 100_000))
    ]
    tokens_per_person: Annotated[
        int, Setting("200000", "How many tokens the questions of one person may cost in a day (UTC).", _TOKENS)
    ]
    tokens_per_server: Annotated[
        int, Setting("1000000", "How many tokens the questions in one server may cost in a day.", _TOKENS)
    ]
    tokens_in_all: Annotated[
        int, Setting("2000000", "How many tokens all questions together may cost in a day.", _TOKENS)
    ]

    @property
    def offered_models(self) -> tuple[str, ...]:
        """The models that may be chosen; the first is the one that answers where nobody has."""
        return tuple(dict.fromkeys((self.openai_model, *(self.models or ()))))

    @property
    def provider(self) -> str:
        """Where the messages go, in one word: OpenAI, or the host of another server."""
        host = _OPENAI_HOST if self.openai_base_url is None else urlsplit(self.openai_base_url).hostname or ""
        return "OpenAI" if host == _OPENAI_HOST else host

    @property
    def model_configured(self) -> bool:
        """Whether there is a model to talk to. If not, a terminal conversation is held with the demo model."""
        return self.openai_api_key is not None or self.openai_base_url is not None

    @classmethod
    def load(cls, environ: Mapping[str, str], env_file: Path | None = Path(".env"), needs: Sequence[Need] = ()) -> Self:
        """Read every setting from `environ`, else from `env_file`, else its default. Empty counts as not set.

        Raises `SettingsError` with every mistake, among them the `needs` that are not met and names in the file that
        look like misspelt settings.
        """
        in_file, problems = _read(env_file)
        given = {
            name: value
            for name in SETTINGS
            if (value := environ.get(name, "").strip() or (in_file.get(name) or "").strip())
        }
        values: dict[str, Any] = {}
        for name, setting in SETTINGS.items():
            text = given.get(name, setting.default)
            try:
                values[name.lower()] = setting.parse(text) if text else None
            except _Mistake as mistake:
                problems.append(_sentence(name, mistake))
        try:
            values["system_prompt"] = _system_prompt(given.get("SYSTEM_PROMPT"), values.get("system_prompt_file"))
        except _Mistake as mistake:
            problems.append(_sentence("SYSTEM_PROMPT_FILE", mistake))
        reply, context = values.get("reply_tokens"), values.get("context_tokens")
        if reply is not None and context is not None and reply > context:
            problems.append(
                f"REPLY_TOKENS: {reply} is more than CONTEXT_TOKENS ({context}), so the model could not be reminded of"
                " its own reply; lower the one or raise the other."
            )
        problems.extend(need.missing for need in needs if not any(name in given for name in need.any_of))
        if problems:
            raise SettingsError(problems)
        return cls(**values)


SETTINGS: Mapping[str, Setting] = {
    name.upper(): hint.__metadata__[0] for name, hint in get_type_hints(Settings, include_extras=True).items()
}
"""The table of all settings, by name."""


def help_text() -> str:
    """All settings with their defaults, for `--help`."""
    lines = []
    for name, setting in SETTINGS.items():
        lines.append(f"  {name}={setting.default}" if setting.default else f"  {name}")
        lines.extend(textwrap.wrap(setting.help, 80, initial_indent=" " * 6, subsequent_indent=" " * 6))
    return "\n".join(lines)


def _system_prompt(own: str | None, file: Path | None) -> str:
    if file is None:
        return own or DEFAULT_SYSTEM_PROMPT
    if own is not None:
        raise _Mistake("SYSTEM_PROMPT is set as well; keep one of the two")
    name = _quoted(str(file))
    try:
        text = file.read_text(encoding="utf-8-sig").strip()
    except FileNotFoundError:
        raise _Mistake(f"there is no file {name}; name one that exists") from None
    except OSError as error:
        raise _Mistake(f"{name} cannot be read ({error.strerror}); name a readable text file") from None
    except UnicodeDecodeError:
        raise _Mistake(f"{name} is not UTF-8; save it as UTF-8 text") from None
    if not text:
        raise _Mistake(f"{name} is empty; write the prompt into it, or leave the setting out")
    return text


def _read(env_file: Path | None) -> tuple[Mapping[str, str | None], list[str]]:
    """What a `.env` file sets, and what is wrong with the file. That there is none is fine."""
    if env_file is None:
        return {}, []
    try:
        # Editors on Windows like to begin a file with a byte order mark.
        text = env_file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return {}, []
    except OSError as error:
        return {}, [f"{env_file}: cannot be read ({error.strerror}); make it a file that this user may read."]
    except UnicodeDecodeError:
        return {}, [f"{env_file}: is not UTF-8; save it as UTF-8 text."]
    values: dict[str, str | None] = {}
    problems = []
    # `dotenv_values` would only log the lines it cannot read, and expand a "$" in a key.
    for binding in parse_stream(StringIO(text)):
        if binding.error:
            problems.append(f"{env_file}: line {binding.original.line} cannot be read; write NAME=value.")
        elif binding.key is not None:
            values[binding.key] = binding.value
    problems += [f"{name}: unknown; did you mean {like}?" for name in values if (like := _meant(name))]
    return values, problems


def _meant(name: str) -> str | None:
    """The setting that an unknown name is likely to mean."""
    if name in SETTINGS:
        return None
    upper = name.upper()
    return _OTHER_NAMES.get(upper) or next(iter(get_close_matches(upper, SETTINGS, n=1, cutoff=0.8)), None)


def _sentence(name: str, mistake: _Mistake) -> str:
    text = f"{name}: {mistake}"
    return text if text.endswith("?") else f"{text}."
