"""The log's lines about attempts and failed requests. Texts are kept apart, since only some logs may hold them."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field

from bot.core.quotas import Usage
from bot.core.turns import Conversation, FailureReason, StopReason, TurnState

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnLogEntry:
    """One attempt at a turn, logged as the record's message itself so that a formatter can read its fields.

    Times are seconds: `waited` until the model was asked, `first_text` from then to the first text, `total` until a
    person could see the end. A time is None if that did not happen. `messages` counts the messages with the reply.
    """

    conversation: Conversation
    prompt_id: int
    turn: int
    attempt: int
    state: TurnState
    failure: FailureReason | None
    stop_reason: StopReason | None
    waited: float | None
    first_text: float | None
    total: float
    usage: Usage | None
    messages: int
    prompt: str = field(repr=False)
    reply: str = field(repr=False)

    def __str__(self) -> str:
        why = ", ".join(filter(None, (self.failure, self.stop_reason and self.stop_reason.value)))
        state = f"{self.state} ({why})" if why else self.state
        tokens = _tokens(self.usage) if self.usage else "not reported"
        return (
            f"turn {self.turn} in {self.conversation}: {state}; prompt {self.prompt_id}, attempt {self.attempt};"
            f" waited {_seconds(self.waited)}, first text {_seconds(self.first_text)}, in all {_seconds(self.total)};"
            f" {len(self.reply)} characters in messages: {self.messages}; tokens {tokens}"
        )

    def fields(self) -> dict[str, object]:
        """All fields except the texts."""
        return {
            "conversation": str(self.conversation),
            "prompt_id": self.prompt_id,
            "turn": self.turn,
            "attempt": self.attempt,
            "state": self.state,
            "failure": self.failure,
            "stop_reason": self.stop_reason and self.stop_reason.value,
            "waited_s": _rounded(self.waited),
            "first_text_s": _rounded(self.first_text),
            "total_s": _rounded(self.total),
            "prompt_tokens": self.usage and self.usage.prompt_tokens,
            "reply_tokens": self.usage and self.usage.reply_tokens,
            "cached_tokens": self.usage and self.usage.cached_tokens,
            "reasoning_tokens": self.usage and self.usage.reasoning_tokens,
            "characters": len(self.reply),
            "messages": self.messages,
        }

    def texts(self) -> dict[str, str]:
        """The prompt and the reply."""
        return {"prompt": self.prompt, "reply": self.reply}


def with_texts(**texts: str) -> Mapping[str, object]:
    """The `extra` of a log call with texts that may repeat a message. They are logged only where messages may be."""
    return {"texts": {name: text for name, text in texts.items() if text}}


def _tokens(usage: Usage) -> str:
    cached = f" ({usage.cached_tokens} cached)" if usage.cached_tokens else ""
    reasoning = f" ({usage.reasoning_tokens} reasoning)" if usage.reasoning_tokens else ""
    return f"{usage.prompt_tokens}{cached} + {usage.reply_tokens}{reasoning}"


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


class FailureLog:
    """The log of failed requests. Each cause is a warning once for each model, until that works again."""

    def __init__(self) -> None:
        self._causes: dict[str, set[str]] = {}
        """The causes of each model's failures since it last worked."""

    def add(self, model: str, turn_id: int, detail: str, cause: str = "", server_message: str = "") -> None:
        """Log why a request failed. `cause` is the part of `detail` that does not vary from request to request."""
        causes, cause = self._causes.setdefault(model, set()), cause or detail
        level = logging.INFO if cause in causes else logging.WARNING
        _log.log(level, "turn %d: %s", turn_id, detail, extra=with_texts(server=server_message))
        causes.add(cause)

    def discard(self, model: str) -> None:
        """Note that a model works."""
        self._causes.pop(model, None)
