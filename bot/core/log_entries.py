"""What is logged of a turn: its fields and, apart from them, its texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bot.core.quotas import Usage
from bot.core.turns import Conversation, FailureReason, StopReason, TurnState


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnLogEntry:
    """The one line about an attempt at a turn; logged as the message itself, so that its fields can be told apart.

    Times are seconds: `waited` until the model was asked, `first_text` from then to the first of its text, `total`
    until a person could see the end. None: it did not come to that. `messages` is how many show the reply.
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
        tokens = f"{self.usage.prompt_tokens} + {self.usage.reply_tokens}" if self.usage else "not reported"
        return (
            f"turn {self.turn} in {self.conversation}: {state}; prompt {self.prompt_id}, attempt {self.attempt};"
            f" waited {_seconds(self.waited)}, first text {_seconds(self.first_text)}, in all {_seconds(self.total)};"
            f" {len(self.reply)} characters in messages: {self.messages}; tokens {tokens}"
        )

    def fields(self) -> dict[str, object]:
        """All of it but the texts."""
        return {
            "conversation": str(self.conversation),
            "prompt_id": self.prompt_id,
            "turn": self.turn,
            "attempt": self.attempt,
            "state": self.state,
            "problem": self.failure,
            "cause": self.stop_reason and self.stop_reason.value,
            "waited_s": _rounded(self.waited),
            "first_text_s": _rounded(self.first_text),
            "total_s": _rounded(self.total),
            "prompt_tokens": self.usage and self.usage.prompt_tokens,
            "reply_tokens": self.usage and self.usage.reply_tokens,
            "characters": len(self.reply),
            "messages": self.messages,
        }

    def texts(self) -> dict[str, str]:
        """What was said."""
        return {"prompt": self.prompt, "reply": self.reply}


def with_texts(**texts: str) -> Mapping[str, object]:
    """For the `extra` of a call: what may repeat a message, by name, and is logged only where messages may be."""
    return {"texts": {name: text for name, text in texts.items() if text}}


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s"


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)
