"""The parsers of the settings: from a stripped text that is not empty to a value. Some look at paths, none writes."""

from __future__ import annotations

import math
import os
import re
import ssl
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from typing import Literal
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from bot.config.values import ListenAddress, Secret
from bot.core.access import Servers
from bot.core.shards import WantedShards
from bot.core.usage import MICRO, Price

BOT_TAB = "copy the bot's token from the Bot tab of its application at https://discord.com/developers/applications"
_PLACEHOLDER = re.compile(r"(sk-)?(your|paste|insert)[-_ ].*|<.*>|.*(\.\.\.|…|\*\*\*)|x{3,}|change-?me", re.IGNORECASE)
_ID = re.compile(r"[0-9]{17,19}")
_MONEY = re.compile(r"[0-9]{1,9}(\.[0-9]+)?")
_LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
INSTALL_METRICS = "python -m pip install 'prometheus-client>=0.26,<1'"
"""The command for the package behind METRICS_PORT."""
_LOG_FORMATS = ("text", "json")


class InvalidValue(Exception):
    """The mistakes in a value. Each text says what is wrong and what to write, as the end of a sentence that begins
    with the setting's name.
    """

    def sentences(self, setting: str) -> list[str]:
        """A whole sentence for each mistake."""
        texts = (f"{setting}: {text}" for text in self.args)
        return [text if text.endswith("?") else f"{text}." for text in texts]


def unquoted(value: str) -> str:
    """The value without the pair of quotation marks around it, which `docker run --env-file` and others hand over."""
    value = value.strip()
    mark = value[:1]
    if mark in ("'", '"') and len(value) > 1 and value.find(mark, 1) == len(value) - 1:
        return value[1:-1].strip()
    return value


def secret(what: str) -> Callable[[str], Secret]:
    def parse(value: str) -> Secret:
        if _PLACEHOLDER.fullmatch(value):
            raise InvalidValue(f"still the placeholder of an example; put {what} in its place")
        if not value.isascii() or not value.isprintable() or re.search(r"[\s\"'`]", value):
            raise InvalidValue(
                f"has a space, a quotation mark or another character that {what} never has; copy it again"
            )
        return Secret(value)

    return parse


def token(value: str) -> Secret:
    found = secret("the bot's token")(re.sub(r"^Bot\s+", "", value))
    if _ID.fullmatch(found.reveal()):
        raise InvalidValue(f"this is an id, not the token; {BOT_TAB}")
    if re.fullmatch(r"[0-9a-f]{64}", found.reveal()):
        raise InvalidValue(f"this looks like the application's public key; {BOT_TAB}")
    if re.fullmatch(r"[\w-]{32}", found.reveal()):
        raise InvalidValue(f"this looks like the application's client secret; {BOT_TAB}")
    return found


def is_local(host: str) -> bool:
    """Whether a host name or an IP address is of this computer or of a private network."""
    host = host.rstrip(".").lower()
    try:
        return not ip_address(host).is_global
    except ValueError:
        return "." not in host or host.endswith((".local", ".localhost", ".internal", ".lan", ".home.arpa"))


def _split(url: str) -> SplitResult | None:
    """The parts of a URL, or None for a text that is no URL."""
    try:
        pieces = urlsplit(url)
        _ = pieces.port  # the port is checked only when it is read
    except ValueError:
        return None
    return pieces


def base_url(value: str, key: str = "OPENAI_API_KEY") -> str:
    """The URL of a model server, whose key is in the setting `key`."""
    # These checks come first: a URL that fails them may hold a password, which no error message may repeat.
    if "@" in value:
        raise InvalidValue(f"contains a name or a password; leave it out and put the key into {key}")
    if re.search(r"[?#]", value):
        raise InvalidValue("has a '?' or a '#'; leave out everything from there on")
    if "://" not in value:
        pieces = _split(f"http://{value}")
        scheme = "http" if pieces and pieces.hostname and is_local(pieces.hostname) else "https"
        path = "" if pieces and pieces.path.strip("/") else "/v1"
        meant = f"{scheme}://{value.strip('/')}{path}"
        raise InvalidValue(f"{quoted(value)} has no http:// or https://; did you mean {meant}?")
    pieces = _split(value)
    if pieces is None or pieces.scheme not in ("http", "https") or not pieces.hostname or re.search(r"\s", value):
        raise InvalidValue(f"{quoted(value)} is not an http or https URL; write one such as http://localhost:11434/v1")
    url = value.rstrip("/")
    if url.endswith("/chat/completions"):
        raise InvalidValue(f"must end before /chat/completions; did you mean {url.removesuffix('/chat/completions')}?")
    return url


def proxy(value: str) -> Secret:
    """The URL of a proxy. It may hold a password, so no error message repeats it."""
    url = value if "://" in value else f"http://{value}"
    pieces = _split(url)
    if pieces is not None and pieces.scheme.startswith("socks"):
        raise InvalidValue("is a SOCKS proxy, which is not supported; set an HTTP proxy instead, or leave it empty")
    if pieces is None or pieces.scheme not in ("http", "https") or not pieces.hostname or re.search(r"\s", url):
        raise InvalidValue("is not the URL of a proxy; write one such as http://proxy.example.com:3128")
    return Secret(url)


def hosts(value: str) -> tuple[str, ...]:
    return tuple(each for each in re.split(r"[,\s]+", value) if each)


def certificates(value: str) -> Path:
    file = path(value)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except FileNotFoundError:
        raise InvalidValue(f"there is no file {quoted(value)}; name one that exists") from None
    except ssl.SSLError:
        raise InvalidValue(f"{quoted(value)} contains no certificates; name a file in PEM format") from None
    except OSError as error:
        raise InvalidValue(f"{quoted(value)} cannot be read ({error.strerror}); name a readable file") from None
    return file


def path(value: str) -> Path:
    try:
        return Path(value).expanduser()
    except RuntimeError:
        raise InvalidValue(
            f"{quoted(value)} begins with '~', but this user has no home folder; write the whole path"
        ) from None


def database_path(value: str) -> Path:
    if value == ":memory:":
        raise InvalidValue("the database must be a file; name one such as data/parley.db")
    if "://" in value:
        raise InvalidValue(f"{quoted(value)} is a URL; name a file such as data/parley.db")
    file = path(value)
    if value.endswith(("/", "\\")) or os.path.isdir(file):  # unlike Path.is_dir, no error where it may not look
        raise InvalidValue(f"{quoted(value)} is a directory; name a file in it such as {file / 'parley.db'}")
    return file


def database_url(value: str) -> Secret:
    """The URL of a PostgreSQL database. No error message repeats it: it may hold a password."""
    form = "write postgresql://USER:PASSWORD@HOST/DATABASE"
    if not value.startswith(("postgresql://", "postgres://")):
        raise InvalidValue(f"does not begin with postgresql://; {form}")
    if not value.isascii() or not value.isprintable() or " " in value:
        raise InvalidValue("has a space or a character that URLs never have; write it with % and two digits")
    parts = _split(value)
    if parts is None or parts.netloc.count("@") > 1:
        raise InvalidValue(f"cannot be read as a URL; {form}, with % and two digits for '/', '@', ':' and '#'")
    if not parts.path.strip("/"):
        raise InvalidValue(f"names no database; {form}")
    return Secret(value)


def passwords_in(url: str) -> Sequence[str]:
    """The password in the URL of a database, as it is written there and as it is meant."""
    parts = urlsplit(url)
    found = [parts.password or "", *parse_qs(parts.query).get("password", [])]
    return [text for each in found if each for text in dict.fromkeys((each, unquote(each)))]


def metrics_address(value: str) -> ListenAddress:
    host, colon, port = value.rpartition(":")
    host = host if colon else "127.0.0.1"
    try:
        address = ip_address(host[1:-1] if host.startswith("[") and host.endswith("]") else host)
    except ValueError:
        address = None
    bracketed = host.startswith("[")
    if (
        address is None
        or (address.version == 6) is not bracketed
        or not re.fullmatch(r"[0-9]{1,5}", port)
        or not 0 < int(port) < 2**16
    ):
        raise InvalidValue(
            f"{quoted(value)} is not valid; write a port from 1 to 65535 such as 9100, or with an IP address of this"
            " computer, such as 0.0.0.0:9100 or [::1]:9100"
        )
    if find_spec("prometheus_client") is None:
        raise InvalidValue(f"needs another package; run: {INSTALL_METRICS}, or leave the setting out")
    return ListenAddress(str(address), int(port))


def log_level(value: str) -> str:
    if value.upper() not in _LOG_LEVELS:
        raise InvalidValue(f"{quoted(value)} is not a level; choose {', '.join(_LOG_LEVELS[:-1])} or {_LOG_LEVELS[-1]}")
    return value.upper()


def log_format(value: str) -> str:
    if value.lower() not in _LOG_FORMATS:
        raise InvalidValue(f"{quoted(value)} is not a format; choose {' or '.join(_LOG_FORMATS)}")
    return value.lower()


def boolean(value: str) -> bool:
    if value.lower() not in ("true", "false"):
        raise InvalidValue(f"{quoted(value)} is not valid; write true or false")
    return value.lower() == "true"


def integer(low: int, high: int) -> Callable[[str], int]:
    def parse(value: str) -> int:
        if re.fullmatch(r"[+-]?[0-9]{1,12}", value) and low <= int(value) <= high:
            return int(value)
        raise InvalidValue(f"{quoted(value)} is not valid; write a whole number from {low} to {high}, in digits only")

    return parse


_MAX_SHARDS = 1000
"""Fewer than the session starts that Discord allows in a day."""


def shards(value: str) -> int | WantedShards | None:
    """How many shards, those of one of several processes, or None for as many as Discord recommends."""
    if value.lower() == "auto":
        return None
    if re.fullmatch(r"[0-9]{1,4}", value) and 1 <= int(value) <= _MAX_SHARDS:
        return int(value)
    if found := re.fullmatch(r"(?:([0-9]{1,4})-)?([0-9]{1,4})/([0-9]{1,4})", value):
        last, count = int(found[2]), int(found[3])
        if not 2 <= count <= _MAX_SHARDS:
            raise InvalidValue(f"{quoted(value)} is not valid; write a number from 2 to {_MAX_SHARDS} after the '/'")
        if found[1] is None and 1 <= last <= count:
            return WantedShards(count, None, last)
        if found[1] is not None and int(found[1]) <= last < count:
            return WantedShards(count, range(int(found[1]), last + 1))
        raise InvalidValue(
            f"{quoted(value)} is not valid; of {count} shards, write how many, such as {(count + 1) // 2}/{count}, or"
            f" which of 0-{count - 1}, such as 0-{(count - 1) // 2}/{count}"
        )
    raise InvalidValue(
        f"{quoted(value)} is not valid; write auto, a whole number from 1 to {_MAX_SHARDS}, or for one of several"
        " processes some shards of all, such as 4/8 or 0-3/8"
    )


def seconds(high: int) -> Callable[[str], float]:
    def parse(value: str) -> float:
        if re.fullmatch(r"[0-9]{1,6}(\.[0-9]+)?", value) and 0 < float(value) <= high:
            return float(value)
        raise InvalidValue(
            f"{quoted(value)} is not valid; write seconds as a number above 0 and up to {high}, such as 2.5"
        )

    return parse


def ids(whose: str) -> Callable[[str], frozenset[int]]:
    def parse(value: str) -> frozenset[int]:
        found = [each.strip() for each in value.split(",") if each.strip()]
        # A text without ids is a mistake: an empty list would let everybody in.
        for each in found or [value]:
            if not _ID.fullmatch(each):
                raise InvalidValue(
                    f"{quoted(each)} is not an id; write {whose}, 17 to 19 digits each, with commas between them (to"
                    " get them, turn on Developer Mode in Discord under User Settings, Advanced; then right-click, Copy"
                    " ID)"
                )
        return frozenset(map(int, found))

    return parse


def servers(value: str) -> Servers:
    named = {each.strip().lower() for each in value.split(",")} & {"owner", "any"}
    others = ",".join(each for each in value.split(",") if each.strip().lower() not in ("owner", "any", ""))
    if not named and not re.search(r"[0-9]", value):
        raise InvalidValue(f"{quoted(value)} is not valid; write owner, any, or the ids of servers")
    found = ids("the ids of servers")(others) if others else frozenset()
    return Servers(owner="owner" in named, ids=found, any="any" in named)


OFF = "off"
"""A value in place of a model's name, with which none is asked."""


def model_or_off(value: str) -> str:
    return OFF if value.lower() == OFF else value


def direct_messages(value: str) -> Literal["members", "everyone", "off"]:
    for choice in ("members", "everyone", "off"):
        if value.lower() == choice:
            return choice
    raise InvalidValue(f"{quoted(value)} is not valid; write members, everyone or off")


def models(value: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for each in value.split(",") if (name := each.strip())))


def prices(value: str) -> Mapping[str, Price]:
    found = {}
    for each in filter(None, map(str.strip, value.split(","))):
        model, _, costs = map(str.strip, each.rpartition("="))
        numbers = [cost.strip() for cost in costs.split("/")]
        if not model or len(numbers) not in (2, 3) or not all(map(_MONEY.fullmatch, numbers)):
            raise InvalidValue(
                f"{quoted(each)} is not a price; write the model and what a million tokens of its context, of its"
                " replies and, if they are cheaper, of cached context cost, such as gpt-6-luna=0.10/0.50/0.01, with"
                " commas between models"
            )
        prompt, reply, *cached = map(_micro, numbers)
        if cached and cached[0] > prompt:
            raise InvalidValue(
                f"{quoted(each)} makes cached context cost more than other context; write context/reply/cached, such as"
                " gpt-6-luna=0.10/0.50/0.01"
            )
        found[model] = Price(prompt, reply, cached[0] if cached else prompt)
    return found


def money(value: str) -> int:
    """An amount of money that is not 0, in millionths."""
    if not _MONEY.fullmatch(value) or _micro(value) == 0:
        raise InvalidValue(
            f"{quoted(value)} is not valid; write an amount in the currency of PRICES, in digits only, such as 1.00"
        )
    return _micro(value)


def _micro(amount: str) -> int:
    """The millionths of an amount of money, rounded up."""
    return math.ceil(Decimal(amount) * MICRO)


def quoted(value: str) -> str:
    """A value in quotation marks, cut where it is very long."""
    return f'"{value if len(value) <= 200 else value[:200] + "…"}"'
