"""The meaning of a model server's refusal: the failure reason, its message, its status, and how long to wait."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from itertools import islice

from bot.core.turns import FailureReason

# Wordings of OpenAI, Azure, OpenRouter, Anthropic, Gemini, DeepSeek, Qwen, Groq, Mistral, vLLM, llama.cpp, LM Studio.
# Moonshot, Zhipu, SiliconFlow, xAI, LiteLLM.
_QUOTA = re.compile(
    r"insufficient_quota|insufficient.(credits|balance|funds)|balance (is )?(insufficient|too low|not enough)|billing_"
    r"|credit balance|payment_required|exceeded_current_quota_error|余额不足|arrearage|budget.{0,10}exceeded"
    r'|credits? (are|is) (depleted|exhausted)|used all available credits|"code": ?"?1113\b'
)
_BAD_KEY = re.compile(
    r"invalid_api_key|authentication.error|api.key not valid|api_key_invalid|no_db_connection|unregistered callers"
    r"|(invalid|incorrect|missing|expired|wrong|no|provide an?|malformed) (or invalid )?"
    r"(x-|proxy |virtual )?(api.?key|authorization header|server token)"
    r"|api.?key (is |has )?(been )?(invalid|incorrect|missing|expired|not found|not valid|revoked)"
)
_LOADING = re.compile(
    r"\b(re)?loading (the )?model|model.{0,100}\b(is|being) (currently |still |being )?(re)?loading"
    r"|\bis (currently|still) (being )?(re)?load(ed|ing)|(starting|warming) up|not (yet )?(ready|loaded) yet"
)
_LOADED_NEVER = re.compile(r"(error|fail\w*|unable|cannot|could not|timed out)( \w+){0,3} load")
_OVERLOADED = re.compile(
    r"overload|over capacity|(capacity|pending requests) exceeded|exceeded.{0,20}capacity"
    r"|(server|service|engine|model).{0,12} busy"
)
_TOO_LONG = re.compile(
    r"context.?(length|size|window|limit)|(prompt|input|request|context) (is )?too (long|large)"
    r"|too many tokens|token count.{0,40}(exceeds|only supports)|tokens.{0,60}must be <=|must have less than \d+ tokens"
    r"|max(imum)? (allowed )?(input|prompt) length|range of input length|prompt exceeds max length"
    r"|prompt (超长|\\u8d85\\u957f)|exceeded model token limit|reduce the length of the (messages|prompt)"
)
_TOKEN_LIMIT = re.compile(r"(?<!daily )token limit exceeded")
"""A context too long, unless the status says that there were too many requests."""


def _patterns(*wordings: str) -> tuple[re.Pattern[str], ...]:
    """Patterns in which WINDOW and PROMPT stand for those numbers, of up to nine digits."""
    number = r"(?<![\d-])\d{1,9}(?!\d)"
    groups = {name.upper(): f"(?P<{name}>{number})" for name in ("window", "prompt")}
    return tuple(re.compile(re.sub("WINDOW|PROMPT", lambda name: groups[name[0]], each)) for each in wordings)


_WINDOWS = _patterns(
    r"n_ctx\W{1,4}WINDOW",
    r"PROMPT \+ \d{1,9} > WINDOW",
    r"\d > WINDOW - PROMPT",
    r"PROMPT tokens > WINDOW maximum",
    r"range of input length should be \[\d{1,9},? ?WINDOW\]",
    r"token count (is |of )?\(?PROMPT\)? .{0,60}?(supports up to|allowed|limit of) \(?WINDOW",
    r"input length PROMPT exceeds the maximum allowed input length of WINDOW",
    r"max(imum)? (allowed )?(prompt|input) length (is|of|:) ?WINDOW( .{0,30}contains PROMPT)?",
    r"must have less than WINDOW tokens",
    r"max_new_tokens` must be <= WINDOW(. given: PROMPT)?",
    r"\(PROMPT tokens\) exceeds the available context size \(WINDOW",
    r"\(PROMPT tokens\) is longer than .{0,40}?context length \(WINDOW",
    r"prompt contains PROMPT .{0,60}?WINDOW maximum context length",
    r"context (length|window|size)( is|:| of( only)?) WINDOW",
    r"exceeded model token limit: WINDOW",
    r"limit WINDOW, requested \d",
)
_COUNTS = _patterns(
    r"n_prompt_tokens\W{1,4}PROMPT",
    r"requested tokens \(PROMPT",
    r"\(PROMPT in the messages",
    r"(resulted in|has|contains|given:) PROMPT( input)?( tokens|\b)",
    r"PROMPT tokens from the input",
)
_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}\b)")
_LONGEST_REFUSAL = 4_000
"""Characters of a refusal that are searched for numbers. No server's message is longer."""
_DECLINED = re.compile(
    r"content.(filter|policy|management)|responsibleai|moderation|flagged|content exists risk|data_inspection_failed"
)
_RATE = re.compile(r"rate.?limit|too many requests|resource_exhausted")
_OURS_TO_MEND = re.compile(r"invalid_request|model_not_found|not_found_error|permission|badrequest")


_MOST_SEARCHED = 2**15
"""Characters of an error's body that are searched for what it means."""
_NAME = re.compile(r"[\w.\-\[\]]{1,60}", re.ASCII)
_LONGEST_WAIT = 24 * 3600.0
"""Seconds. Some servers send a huge number or a far date for "never"; no server means a longer wait."""


def classify(status: int | None, said: str) -> FailureReason:
    """The failure reason of a refusal. `said`, its text in lower case, counts for more than the status."""
    if status == 404 or is_out_of_credit(status, said) or is_bad_key(status, said):
        return FailureReason.CONFIGURATION
    if status == 413 or _TOO_LONG.search(said) or (status != 429 and _TOKEN_LIMIT.search(said)):
        return FailureReason.TOO_LONG
    if status in (None, 400, 403, 422, 451) and _DECLINED.search(said):
        return FailureReason.CONTENT_FILTERED
    # Groq's flex tier and Anthropic have statuses of their own for it.
    if status in (429, 498, 529) or (status is None and _RATE.search(said)):
        return FailureReason.BUSY
    if (status is None or status >= 500) and _OVERLOADED.search(said):
        return FailureReason.BUSY
    if status is None:
        return FailureReason.CONFIGURATION if _OURS_TO_MEND.search(said) else FailureReason.UNREACHABLE
    # 408 and 409 are timeouts: of the request, and of a lock.
    return FailureReason.UNREACHABLE if status >= 500 or status in (408, 409) else FailureReason.CONFIGURATION


def may_be_about_pictures(status: int | None, said: str) -> bool:
    """Whether a refusal of a request with pictures may be about them; `said` in lower case."""
    if is_out_of_credit(status, said) or is_bad_key(status, said):
        return False
    reason = FailureReason.CONFIGURATION if status == 404 else classify(status, said)
    return status in (None, 400, 404, 415, 422, 500, 501) and reason in (
        FailureReason.CONFIGURATION,
        FailureReason.UNREACHABLE,
    )


def window_in(said: str) -> tuple[int | None, int | None]:
    """The tokens of context and reply that a refusal names as its most, and those of the context that it counted.

    `said` is its text in lower case. None stands for what it does not name.
    """
    said = _THOUSANDS.sub("", said[:_LONGEST_REFUSAL])
    return _named(_WINDOWS, "window", said), _named((*_WINDOWS, *_COUNTS), "prompt", said)


def _named(patterns: Sequence[re.Pattern[str]], group: str, said: str) -> int | None:
    for pattern in patterns:
        if group in pattern.groupindex and (found := pattern.search(said)) and found[group]:
            return int(found[group])
    return None


def is_out_of_credit(status: int | None, said: str) -> bool:
    """Whether the account has nothing left to pay with; `said` in lower case."""
    return status == 402 or _QUOTA.search(said) is not None


def is_bad_key(status: int | None, said: str) -> bool:
    """Whether the key is missing or wrong; `said` in lower case."""
    return status == 401 or _BAD_KEY.search(said) is not None


def is_loading(status: int | None, said: str) -> bool:
    """Whether the server has yet to load its model, so that waiting helps; `said` in lower case."""
    return status is not None and status >= 500 and bool(_LOADING.search(said)) and not _LOADED_NEVER.search(said)


def shortened(body: object) -> object:
    """An error's body with no more in it than can be searched at once. What it says stands at its beginning."""
    left = _MOST_SEARCHED

    def beginning(value: object) -> object:
        nonlocal left
        left -= 10
        if left <= 0:
            return None
        match value:
            case str():
                value = value[:left]
                left -= len(value)
            case dict():
                return {str(key)[:100]: beginning(inner) for key, inner in islice(value.items(), 100)}
            case list():
                return [beginning(inner) for inner in value[:100]]
        return value

    return beginning(body)


def message_of(body: object) -> str:
    """The message in an error body. Each server has its own shape for it."""
    match body:
        case str():
            return body
        case {"error": dict() | list() | str() as inner} if inner:
            return message_of(inner)
        case {"message": inner} | {"detail": inner} | [inner] if inner:
            return message_of(inner)
    return json.dumps(body, ensure_ascii=False) if body else ""


def names_in(body: object) -> list[str]:
    """The names of an error and of the parameter it is about. No text of a message can be among them."""
    match body:
        case {"error": dict(inner)} | [dict(inner)]:
            return names_in(inner)
        case dict():
            given = (body.get(key) for key in ("type", "code", "param"))
            return [name for name in given if isinstance(name, str) and _NAME.fullmatch(name)]
    return []


def status_of(body: object) -> int | None:
    """The HTTP status in an error within a stream, if there is one."""
    match body:
        case {"error": dict(inner)} | [dict(inner)]:
            return status_of(inner)
        case dict():
            for key in ("code", "status", "status_code", "error_code"):
                code = str(body.get(key))
                if re.fullmatch(r"[45]\d\d", code, re.ASCII):
                    return int(code)
    return None


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds to wait, at most a day, from a header with a number or a date. None: there is no such header."""
    milliseconds = _number(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return min(milliseconds / 1000, _LONGEST_WAIT)
    value = headers.get("retry-after", "")
    seconds = _number(value)
    if seconds is None:
        try:
            seconds = max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
        except (ValueError, OverflowError):
            return None
    return min(seconds, _LONGEST_WAIT)


def _number(text: str) -> float | None:
    """The text as a number of zero or more, which may be infinite. None: it is no such number."""
    try:
        number = float(text)
    except ValueError:
        return None
    return None if math.isnan(number) or number < 0 else number
