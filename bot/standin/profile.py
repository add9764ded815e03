"""What a model server does in its own way: its refusals, its context window, and the shape of its streams.

A profile states only where a server differs from a plain one, which takes every parameter and speaks as OpenAI's does.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from bot.standin.script import REFUSALS, Raw, Refusal, openai_error

Json = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Sizes:
    """What a request needs of a context window of `window` tokens. `reply` is the longest reply that it allows."""

    prompt: int
    reply: int
    window: int

    @property
    def total(self) -> int:
        return self.prompt + self.reply


class UsagePlace(Enum):
    """Where a stream reports the tokens of its reply."""

    LAST = auto()
    """In an event of its own without choices, if the request asks for it."""
    FINISH = auto()
    """Beside the choices of the event with the finish reason, whether the request asks for it or not."""
    CHOICE = auto()
    """In the choice of the event with the finish reason."""
    X_GROQ = auto()
    """In `x_groq` of the event with the finish reason."""
    NOWHERE = auto()


def openai_too_long(sizes: Sizes) -> Refusal:
    """OpenAI's refusal of a context that is too long."""
    return openai_error(
        400,
        f"This model's maximum context length is {sizes.window} tokens. However, your messages resulted in"
        f" {sizes.prompt} tokens.",
        "invalid_request_error",
        "context_length_exceeded",
        "messages",
    )


def unsupported_effort(effort: object, efforts: Sequence[str]) -> Refusal:
    """OpenAI's refusal of a value of reasoning_effort, with the values that the model takes."""
    *others, last = map(repr, efforts)
    values = f"{', '.join(others)}, and {last}" if others else last
    message = (
        f"Unsupported value: 'reasoning_effort' does not support {effort!r} with this model. Supported values are:"
        f" {values}."
    )
    return openai_error(400, message, "invalid_request_error", "unsupported_value", "reasoning_effort")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream:
    """The shape of a streamed reply."""

    thought: Callable[[str], Json | None] = lambda text: {"reasoning_content": text}
    """The delta for a token of reasoning. None: reasoning is not sent."""
    opens: str = ""
    closes: str = ""
    """The text in the reply before and behind the reasoning."""
    first: Json | None = field(default_factory=lambda: {"role": "assistant", "content": ""})
    """The delta before the reply begins, if there is one."""
    each: Json = field(default_factory=dict)
    """What every delta contains in addition."""
    pending: Json = field(default_factory=lambda: {"logprobs": None, "finish_reason": None})
    """What a choice contains before the reply's end."""
    finishes: Mapping[str, str] = field(default_factory=dict)
    """The server's own names of the finish reasons. `window` is the one for a full context window, else `length`."""
    usage: UsagePlace = UsagePlace.LAST
    preface: bytes = b""
    """What is sent before the first event."""
    prefix: str = "data: "
    line_end: str = "\n"

    def event(self, data: str) -> bytes:
        """Return the bytes of a server-sent event."""
        return f"{self.prefix}{data}{self.line_end * 2}".encode()

    def reasoning(self, tokens: Sequence[str]) -> Iterator[Json | None]:
        """Yield the deltas of the reasoning, with None for one that is not sent."""
        if tokens and self.opens:
            yield {"content": self.opens}
        yield from map(self.thought, tokens)
        if tokens and self.closes:
            yield {"content": self.closes}

    def counted(self, usage: Json | None) -> tuple[Json, str]:
        """Return what the last choice contains of the usage, and the JSON that stands beside the choices."""
        if usage and self.usage is UsagePlace.CHOICE:
            return {"usage": usage}, ""
        if usage and self.usage is UsagePlace.FINISH:
            return {}, f',"usage":{json.dumps(usage)}'
        if usage and self.usage is UsagePlace.X_GROQ:
            return {}, f',"x_groq":{{"id":"req_1","usage":{json.dumps(usage)}}}'
        return {}, ""

    def choice(self, delta: Json, finish: str | None = None, extra: Json | None = None) -> str:
        """Return the JSON of a choice. `finish` is OpenAI's name of the finish reason."""
        choice = {"index": 0, "delta": {**self.each, **delta}, **self.pending, **(extra or {})}
        if finish:
            choice["finish_reason"] = self.finishes.get(finish, "length" if finish == "window" else finish)
        return json.dumps(choice)


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One model server. Refusals that it does not have are None."""

    title: str
    """The server's name as people write it."""
    refuses: Mapping[str, Callable[[object], Refusal | None]] = field(default_factory=dict)
    """By parameter: the refusal of a value, or None for a value that it takes."""
    too_long: Callable[[Sizes], Refusal | Raw] | None = openai_too_long
    """The answer to a context that is too long. None: the oldest messages are silently not read."""
    allowance_counts: bool = False
    """Whether the longest reply that a request allows has to fit the window beside the prompt."""
    stream: Stream = field(default_factory=Stream)
    bad_key: Refusal | None = REFUSALS["bad key"]
    no_credit: Refusal | None = None
    busy: Refusal | None = REFUSALS["rate limit"]
    loading: Refusal | None = None
    """The answer while the model is not in memory yet."""
    entry: Callable[[int], Json] = lambda window: {}
    """What an entry in the list of models contains in addition, by the size of the window."""
    props: Callable[[int], Json] | None = None
    """The answer to `GET /props`, by the size of the window. None: there is no such address."""


PLAIN = Profile(title="plain", no_credit=REFUSALS["quota"])
"""A server that takes everything."""


def refuse(refusal: Refusal) -> Callable[[object], Refusal]:
    """Refuse a parameter whatever its value is."""
    return lambda value: refusal


def refuse_unless(values: tuple[object, ...], refusal: Refusal) -> Callable[[object], Refusal | None]:
    """Refuse all values of a parameter but these."""
    return lambda value: None if value in values else refusal
