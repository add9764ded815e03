"""The settings of further model servers: their names and addresses, and the key and the extra body of each.

The names of these settings are made of the names in MODEL_SERVERS, so they are not in the table of all settings.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any
from urllib.parse import urlsplit

from bot.config import parsers
from bot.config.parsers import InvalidValue, quoted
from bot.config.values import Origins, Secret
from bot.core.model_servers import ModelServer

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,30}")
_RESERVED = ("discord", "openai")
"""Names whose settings would be, or look like, those of Discord or of the default server."""
_KEY, _BODY = "_API_KEY", "_EXTRA_BODY"
_OPENAI_HOST = "api.openai.com"
_TAG = re.compile(r"latest|mini|small|medium|large|instruct|chat|text|code|e?[0-9][0-9.x]*[bm](-.*)?", re.IGNORECASE)
"""What stands behind the colon in the names of Ollama's models, as in `llama3:8b`, and is no model's name itself."""
_OWNED = {
    "model": "set OPENAI_MODEL and MODELS instead",
    "messages": "set SYSTEM_PROMPT and CONTEXT_TOKENS instead",
    "max_tokens": "set REPLY_TOKENS instead",
    "max_completion_tokens": "set REPLY_TOKENS instead",
    "reasoning_effort": "set REASONING_EFFORT instead",
    "stream": "leave it out",
    "stream_options": "leave it out",
    "n": "leave it out",
}
"""The keys of a request's body that belong to the bot, and what to do about each."""


@dataclass(frozen=True, slots=True)
class ModelServerSettings:
    """How one model server is reached. Without a `base_url` it is OpenAI's own API; without a key, none is sent."""

    base_url: str | None = None
    api_key: Secret | None = None
    extra_body: Mapping[str, Any] = field(default_factory=dict)
    """What is added to the body of each request."""
    url_setting: str = "OPENAI_BASE_URL"
    key_setting: str = "OPENAI_API_KEY"
    body_setting: str = "EXTRA_BODY"
    origins: Origins = field(default=Origins(), compare=False)

    @property
    def described(self) -> ModelServer:
        """The server as people and the store know it."""
        host = _OPENAI_HOST if self.base_url is None else urlsplit(self.base_url).hostname or ""
        return ModelServer("OpenAI" if host == _OPENAI_HOST else host, self.base_url or "")


def servers(value: str) -> Mapping[str, ModelServerSettings]:
    """The parser of MODEL_SERVERS."""
    found: dict[str, ModelServerSettings] = {}
    mistakes = []
    for each in filter(None, map(str.strip, value.split(","))):
        name, _, url = map(str.strip, each.partition("="))
        try:
            _check_name(name, found)
            if not url:
                raise InvalidValue("has no address; write home=http://localhost:11434/v1")
            key = _setting(name, _KEY)
            found[name] = ModelServerSettings(parsers.base_url(url, key), url_setting="MODEL_SERVERS", key_setting=key)
        except InvalidValue as mistake:
            mistakes += [f"{name} {text}" if _NAME.fullmatch(name) else text for text in mistake.args]
    if mistakes:
        raise InvalidValue(*mistakes)
    return found


def _check_name(name: str, others: Collection[str]) -> None:
    if not _NAME.fullmatch(name):
        # What is no name may be a URL with a password in it.
        which = f"{quoted(name)} is not" if re.fullmatch("[ .A-Za-z0-9_-]+", name) else "an entry does not begin with"
        raise InvalidValue(
            f"{which} a valid name; use up to 31 lower case letters, digits, - or _, beginning with a letter, as in"
            " home=http://localhost:11434/v1"
        )
    if name in _RESERVED:
        raise InvalidValue("is a reserved name; give the server another name")
    for other in others:
        if _setting(other, "") == _setting(name, ""):
            raise InvalidValue(
                "is named twice; remove one of the two"
                if other == name
                else f"and {other} would share {_setting(name, _KEY)}; give one of them another name"
            )


def _setting(server: str, suffix: str) -> str:
    return server.upper().replace("-", "_") + suffix


def names(value: str) -> Sequence[str]:
    """The names of the servers in MODEL_SERVERS, whatever else is wrong there."""
    return [name for each in value.split(",") if _NAME.fullmatch(name := each.partition("=")[0].strip())]


def setting_names(servers: Iterable[str]) -> Sequence[str]:
    """The names of the settings that belong to these servers."""
    return [_setting(name, suffix) for name in servers for suffix in (_KEY, _BODY)]


def own_settings(
    servers: Iterable[str], look_up: Callable[[str], str], label: Callable[[str], str]
) -> tuple[Mapping[str, Mapping[str, Any]], list[str]]:
    """The key and the body of each of these servers, as far as they are set, and a sentence for each mistake in them.

    They are under the names that they have in `ModelServerSettings`. `look_up` returns the value of a setting, or an
    empty text; `label` names a setting in a sentence.
    """
    found: dict[str, dict[str, Any]] = {}
    mistakes = []
    for name in servers:
        found[name] = {}
        key, extra_body = setting_names([name])
        try:
            if text := look_up(key):
                found[name]["api_key"] = parsers.secret(f"the key of {name}")(text)
        except InvalidValue as mistake:
            mistakes += mistake.sentences(label(key))
        try:
            if text := look_up(extra_body):
                found[name] |= {"extra_body": body(text), "body_setting": extra_body}
        except InvalidValue as mistake:
            mistakes += mistake.sentences(label(extra_body))
    return found, mistakes


def body(value: str) -> Mapping[str, Any]:
    """The parser of EXTRA_BODY."""
    # The value itself may hold a secret, which no error message may repeat.
    try:
        found = json.loads(value, parse_constant=_no_number)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise InvalidValue('is not a JSON object; write one such as {"temperature": 0.7}, on one line')
    owned = [f'"{key}" is sent by the bot itself; {_OWNED[key]}' for key in found if key in _OWNED]
    if owned:
        raise InvalidValue(*owned)
    return found


def _no_number(constant: str) -> None:
    """Refuse NaN and Infinity, which Python reads and JSON does not have."""
    raise ValueError(constant)


def mistakes_in_models(values: Mapping[str, Any], label: Callable[[str], str]) -> list[str]:
    """A sentence for each name of a model that leads to no server or to an unclear one, in the settings' values."""
    servers = values.get("model_servers") or {}
    # One with a mistake in it is missing here, and was meant to be set.
    has_default = not servers or bool(values.get("openai_api_key", True) or values.get("openai_base_url", True))
    first, others, fallback = values.get("openai_model"), values.get("models") or (), values.get("fallback_model")
    vision, summary = values.get("vision_model"), values.get("summary_model")
    transcription = values.get("transcription_model")
    settings: Mapping[str, Iterable[str]] = {
        "OPENAI_MODEL": [first] if first else [],
        "MODELS": others,
        "FALLBACK_MODEL": [fallback] if fallback else [],
        "VISION_MODEL": [vision] if vision else [],
        "SUMMARY_MODEL": [summary] if summary and summary != parsers.OFF else [],
        "TRANSCRIPTION_MODEL": [transcription] if transcription else [],
        "PRICES": values.get("prices") or (),
    }
    mistakes = [
        # A price of a model that is on no server any more does no harm.
        (setting, _mistake(model, servers, has_default=has_default or setting == "PRICES"))
        for setting, models in settings.items()
        for model in models
    ]
    if fallback and {first, *others} == {fallback}:
        mistakes.append(("FALLBACK_MODEL", "this is OPENAI_MODEL itself; name another model, or leave it out"))
    return [sentence for setting, text in mistakes if text for sentence in InvalidValue(text).sentences(label(setting))]


def _mistake(model: str, servers: Collection[str], *, has_default: bool) -> str | None:
    """What is wrong with the full name of a model, if something is."""
    server, colon, name = model.partition(":")
    if not colon or server not in servers:
        if has_default:
            return None
        return (
            f"{quoted(model)} is not on a server in MODEL_SERVERS; write {next(iter(servers))}:MODEL, or set"
            " OPENAI_API_KEY or OPENAI_BASE_URL for a server without a name"
        )
    if not name.strip():
        return f"{quoted(model)} names the server {server} but none of its models; write {server}:MODEL"
    if _TAG.fullmatch(name):
        return (
            f"{quoted(model)} could be a model called {name} on the server {server}, or a model called {model}; give"
            " the server another name in MODEL_SERVERS"
        )
    return None


def misspelt(name: str, named: Collection[str]) -> str | None:
    """A sentence on a setting that looks like that of a server that MODEL_SERVERS does not name, if it does."""
    found = re.fullmatch(rf"(\w+?)({_KEY}|{_BODY})", name.upper())
    if not named or found is None:
        return None
    prefixes = {_setting(each, ""): each for each in (*named, "openai")}
    if like := get_close_matches(found[1], prefixes, n=1, cutoff=0.7):
        return f"{name}: unknown; did you mean {like[0]}{found[2]}?"
    return f"{name}: there is no server {found[1].lower()} in MODEL_SERVERS; name it there, or remove this line."
