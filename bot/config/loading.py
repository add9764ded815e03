"""Reading a table of settings from a mapping and a `.env` file. All mistakes are reported together."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bot.config import model_servers, parsers
from bot.config.env_file import misspelt, read
from bot.config.model_servers import ModelServerSettings
from bot.config.parsers import InvalidValue, quoted
from bot.config.values import Origins
from bot.core.errors import SettingsError
from bot.core.shards import WantedShards

DEFAULT_SYSTEM_PROMPT = """\
You are a friendly, knowledgeable partner in a chat. Answer in the language the person writes in. Be brief and \
conversational: a few sentences are usually enough; go into detail when the question needs it or the person asks. \
When you do not know something, say so instead of guessing. Write plain paragraphs; use short lists, bold text and \
fenced code blocks with their language where they help, and headings or tables only when they are asked for."""
_CONTROL_CHARACTER = re.compile(r"[\x00-\x08\x0e-\x1f\x7f]")
_TOKEN_LIMITS = ("DAILY_TOKENS_PER_USER", "DAILY_TOKENS_PER_SERVER", "DAILY_TOKENS_TOTAL")
_LIMITS = ("HOURLY_QUESTIONS_PER_USER", *_TOKEN_LIMITS)
_PROXIES = ("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY")


@dataclass(frozen=True, slots=True)
class Setting:
    """One row of the table. `default` is written as in `.env`; it is empty where an unset value means None.

    The values of `prose` may begin or end with a quotation mark, and hold control characters.
    """

    default: str
    help: str
    parse: Callable[[str], object]
    prose: bool = False


@dataclass(frozen=True, slots=True)
class Requirement:
    """One of several settings that a command needs, and the sentence for when none of them is set."""

    any_of: tuple[str, ...]
    missing: str


def values(
    table: Mapping[str, Setting],
    environ: Mapping[str, str],
    env_file: Path | None,
    needs: Sequence[Requirement],
    *,
    default_limits: bool,
) -> Mapping[str, Any]:
    """The value of every setting of the table, by its name in lower case.

    It is read from `environ`, else from `env_file`, else it is the default. Empty counts as not set. Without
    `default_limits`, questions and tokens are limited only where a limit is set. Raises `SettingsError` with every
    mistake, among them the `needs` that are not met and names in the file that look like misspelt settings.
    """
    in_file, problems = read(env_file)

    def look_up(name: str) -> str:
        return _given(name, environ) or _given(name, in_file)

    def label(name: str) -> str:
        """A setting, with where its value comes from."""
        if _given(name, environ):
            return f"{name} in the environment"
        return f"{name} in .env" if _given(name, in_file) else name

    names = model_servers.names(look_up("MODEL_SERVERS"))
    problems += _unknown(in_file, [*table, *map(str.lower, _PROXIES), *model_servers.setting_names(names)], names)
    given = {name: value for name in table if (value := look_up(name))}
    if {"HTTPS_PROXY", "HTTP_PROXY"} <= given.keys():
        # Nothing is left for it. On many desktops it names a SOCKS proxy beside the other two.
        given.pop("ALL_PROXY", None)
    found: dict[str, Any] = {}
    for name, setting in table.items():
        text = given.get(name, setting.default)
        try:
            if not setting.prose:
                _check_characters(text)
            found[name.lower()] = setting.parse(text) if text else None
        except InvalidValue as mistake:
            problems += mistake.sentences(label(name))
    try:
        found["system_prompt"] = _system_prompt(given.get("SYSTEM_PROMPT"), found.get("system_prompt_file"))
    except InvalidValue as mistake:
        problems += mistake.sentences(label("SYSTEM_PROMPT_FILE"))
    own, mistakes = model_servers.own_settings(names, look_up, label)
    problems += mistakes
    every = (*table, *model_servers.setting_names(names))
    found["origins"] = Origins(frozenset(name for name in every if _given(name, environ)))
    if found.get("model_servers"):
        shared = {"extra_body": found.get("extra_body") or {}, "origins": found["origins"]}
        servers = found["model_servers"].items()
        found["model_servers"] = {name: replace(server, **{**shared, **own[name]}) for name, server in servers}
    problems += model_servers.mistakes_in_models(found, label)
    reply, context = found.get("reply_tokens"), found.get("context_tokens")
    if reply is not None and context is not None and reply > context:
        problems.append(
            f"{label('REPLY_TOKENS')}: {reply} is more than CONTEXT_TOKENS ({context}), so a reply might not fit into"
            " the history; lower REPLY_TOKENS or raise CONTEXT_TOKENS."
        )
    if {"DATABASE_PATH", "DATABASE_URL"} <= given.keys():
        problems.append(f"{label('DATABASE_URL')}: DATABASE_PATH is also set; keep one of the two.")
    if isinstance(found.get("shards"), WantedShards) and "DATABASE_URL" not in given:
        problems.append(
            f"{label('SHARDS')}: several processes need a PostgreSQL database; set DATABASE_URL, or SHARDS=auto for one"
            " process."
        )
    problems.extend(f"{label('DAILY_BUDGET')}: {mistake}" for mistake in _unpriced(found))
    for name in _limits_not_needed(found) if default_limits else _LIMITS:
        if name not in given:
            found[name.lower()] = None
    problems.extend(need.missing for need in needs if not any(name in given for name in need.any_of))
    if problems:
        raise SettingsError(problems)
    return found


def _check_characters(text: str) -> None:
    if re.search("^['\"]|['\"]$", text):
        raise InvalidValue("begins or ends with a quotation mark; remove it")
    if found := _CONTROL_CHARACTER.search(text):
        # A path with a zero byte cannot be opened, and a URL with such a character cannot be called.
        raise InvalidValue(
            f"has the control character U+{ord(found[0]):04X}, which cannot be seen; write the value again"
        )


def _given(name: str, source: Mapping[str, str | None]) -> str:
    """The text of a setting, empty if it is not set."""
    # As most programs do, the names of proxies are also read in lower case, and first.
    spellings = (name.lower(), name) if name in _PROXIES else (name,)
    return next(filter(None, (parsers.unquoted(source.get(spelling) or "") for spelling in spellings)), "")


def _limits_not_needed(values: Mapping[str, Any]) -> Sequence[str]:
    """The limits on tokens whose defaults do not apply: servers of one's own cost nothing for each token."""
    servers: Iterable[ModelServerSettings] = (values.get("model_servers") or {}).values()
    urls = [server.base_url for server in servers]
    if values.get("openai_api_key") is not None or values.get("openai_base_url") is not None:
        urls.append(values.get("openai_base_url"))
    if urls and all(url is not None and parsers.is_local(urlsplit(url).hostname or "") for url in urls):
        return _TOKEN_LIMITS
    return () if values.get("daily_budget") is None else ("DAILY_TOKENS_TOTAL",)


def _unpriced(values: Mapping[str, Any]) -> Iterator[str]:
    """The mistake of a budget in which the replies of some models have no price."""
    if values.get("daily_budget") is None or not {"prices", "openai_model", "models"} <= values.keys():
        return
    others = map(values.get, ("fallback_model", "vision_model", "summary_model", "transcription_model"))
    offered = dict.fromkeys((values["openai_model"], *(values["models"] or ()), *filter(None, others)))
    missing = [model for model in offered if model != parsers.OFF and model not in (values["prices"] or {})]
    if missing:
        yield (
            f"needs the price of every model. PRICES has none for {', '.join(map(quoted, missing))}; add"
            f" {missing[0]}=context/reply with the prices of a million tokens, or 0/0 if they are free."
        )


def _system_prompt(own: str | None, file: Path | None) -> str:
    if file is None:
        return own or DEFAULT_SYSTEM_PROMPT
    if own is not None:
        raise InvalidValue("SYSTEM_PROMPT is also set; keep one of the two")
    name = quoted(str(file))
    try:
        text = file.read_text(encoding="utf-8-sig").strip()
    except FileNotFoundError:
        raise InvalidValue(f"there is no file {name}; name one that exists") from None
    except OSError as error:
        raise InvalidValue(f"{name} cannot be read ({error.strerror}); name a readable text file") from None
    except UnicodeDecodeError:
        raise InvalidValue(f"{name} is not UTF-8; save it as UTF-8 text") from None
    if not text:
        raise InvalidValue(f"{name} is empty; write the prompt into it, or leave the setting out")
    return text


def _unknown(in_file: Iterable[str], known: Sequence[str], servers: Sequence[str]) -> list[str]:
    """A sentence for each name in the file that looks like a misspelt setting of ours or of one of these servers."""
    found = (model_servers.misspelt(name, servers) or misspelt(name, known) for name in in_file if name not in known)
    return [sentence for sentence in found if sentence]
