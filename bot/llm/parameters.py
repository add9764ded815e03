"""The shape of a request: which optional parameters a server takes, and what its refusals say of that."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bot.core.model_events import Message
from bot.core.pictures import Picture

LIMITS = ("max_tokens", "max_completion_tokens")
"""The names of the parameter with the longest reply, the older one first.

https://platform.openai.com/docs/api-reference/chat/create
"""
_RETURNING = (*LIMITS, "stream_options", "reasoning_effort", "prompt_cache_key", "safety_identifier")
"""All optional parameters, in the order in which they come back after a refusal that named none."""
_EFFORT = re.compile(r"reasoning[._ ]?(effort|value)|not support (reasoning|thinking)|not a reasoning model")
_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
"""Known values of reasoning_effort, the lowest first."""
_EFFORTS_TRIED = 3
"""How many values are tried: the setting's, and two from refusals. The first refusal may list what the server knows,
the second what its model takes."""
_LIST = re.compile(
    r"\b(?:supported|allowed|valid|possible|accepted) values|one of|(?:should|must) be|expected", re.IGNORECASE
)
_QUOTED = re.compile(r"""["'`‘“]([\w-]{1,40})["'`’”]""")
_JSON_STRING = re.compile(r'"((?:[^"\\]|\\.?)*+)(?:"|\Z)')
"""A JSON string, also an unterminated one: without that case, the search would restart at each quotation mark and take
quadratic time."""
_LONGEST_REFUSAL = 4_000
"""Characters of a refusal that are searched. No server's message is longer."""
# Wordings of OpenAI, Gemini, Anthropic, MiniMax, LiteLLM, and of the chat templates of Gemma and Mistral.
_SYSTEM_ROLE = re.compile(
    r"developer instruction|system.{0,3} (role|message|prompt|instruction)s?.{0,30}(not|n't|un)"
    r"|\broles? must alternate|\brole\b.{0,90}\W(system|developer)\b"
    r"|(not|n't) support.{0,12}\bsystem.{0,3}(role|message|prompt|instruction)"
)
_AFTER_SYSTEM = re.compile(r"after the optional system message")
# Wordings of OpenAI, Azure, LiteLLM, FastAPI servers.
_STREAM = re.compile(
    r"verified to stream|\bstream(ing)?\b.{0,40}\b(not |un)(support|allow|enabl|available|permitted|implemented)"
    r"|(not|n't) (support|allow|have).{0,20}\bstream(ing)?\b|\bstream\b.{0,10} must be .?false"
    r"""|["']param["']: ?["']stream["']"""
)
# Wordings of OpenAI, Groq, DeepSeek, Qwen, Anthropic, Gemini. A number that depends on the context's length is no
# maximum: such a refusal is about this one request.
_MOST = re.compile(
    r"at most (\d+) (?:completion|output|new|generated) tokens"
    r"|(?:less than or equal to|<=|at most|maximum(?: value)?(?: \w+){0,4} is|exceeds?(?: \w+){0,5} of) \W?(\d+)"
    r"|range.{0,40}\[ ?1, ?(\d+) ?\]|> (\d+), which is the maximum allowed"
    r"|from 1 \(inclusive\) to (\d+) \(exclusive\)"
)
_CONTEXT = re.compile(r"context l(ength|imit)|inputs?\W{0,2} tokens|prompt tokens|max_model_len|\d \+ |\d - \d")


@dataclass(frozen=True, slots=True)
class RequestShape:
    """The shape of the requests to one model, which starts with everything that may be sent.

    `effort` is the value of reasoning_effort, and `refused_efforts` are the values that the server refused.
    """

    limits: tuple[str, ...] = LIMITS
    """The names of the parameter with the longest reply. The first that is not dropped is sent."""
    most_tokens: int | None = None
    """The longest reply, in tokens, that the server lets a request allow."""
    stream: bool = True
    system_role: bool = True
    """Whether the system prompt has its own message. Otherwise it stands in the first message of the user."""
    most_pictures: int | None = None
    """The most pictures that a request may have. 0: the model cannot see. None: no refusal has named a number."""
    effort: str | None = None
    refused_efforts: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    """Parameters that a refusal named."""
    paused: tuple[str, ...] = ()
    """Parameters left out after a refusal that named none, in the order in which they come back."""
    trial: str | None = None
    """The parameter that has just come back."""

    def parameters(self, reply_tokens: int, identifiers: Mapping[str, str]) -> dict[str, object]:
        """The optional parameters of a request. `identifiers` are prompt_cache_key and safety_identifier, if any."""
        limit = next((name for name in self.limits if name not in self.dropped), None)
        sent: dict[str, object] = dict(identifiers)
        if self.stream:
            sent["stream_options"] = {"include_usage": True}
        if limit is not None:
            sent[limit] = min(reply_tokens, self.most_tokens or reply_tokens)
        if self.effort:
            sent["reasoning_effort"] = self.effort
        return {name: value for name, value in sent.items() if name not in self.dropped and name not in self.paused}

    def messages(self, messages: Sequence[Mapping[str, object]]) -> Sequence[Mapping[str, object]]:
        """The messages of a request, with the system prompt where the server takes it."""
        if self.system_role:
            return messages
        told = [str(message["content"]) for message in messages if message["role"] == "system"]
        said = [message for message in messages if message["role"] != "system"]
        if not told:
            return messages
        first = said.pop(0)["content"] if said and said[0]["role"] == "user" else ""
        if isinstance(first, list):
            return [{"role": "user", "content": [{"type": "text", "text": "\n\n".join(told)}, *first]}, *said]
        return [{"role": "user", "content": "\n\n".join([*told, str(first)] if first else told)}, *said]

    def after(self, status: int, refusal: str, sent: Mapping[str, object]) -> RequestShape | None:
        """The shape for the next request, after a refusal of one with these parameters.

        If a refusal with status 400 or 422 names no part of the shape, the next request is a bare one. None: another
        shape does not help.
        """
        lower = refusal[:_LONGEST_REFUSAL].lower()
        if status > 501:
            return None
        # Errors in a chat template have status 500.
        if self.system_role and _SYSTEM_ROLE.search(lower) and not _AFTER_SYSTEM.search(lower):
            return replace(self, system_role=False)
        if self.stream and status != 500 and "stream_options" not in lower and _STREAM.search(lower):
            return replace(self, stream=False)
        if status not in (400, 422):
            return None
        most = longest_reply(refusal)
        asked = next((value for name, value in sent.items() if name in LIMITS and isinstance(value, int)), None)
        if most is not None and asked is not None and most < asked and self.most_tokens is None:
            return replace(self, most_tokens=most)
        named = [name for name in sent if name != "reasoning_effort" and re.search(rf"(?<!\w){name}(?!\w)", lower)]
        if named:
            return replace(self, dropped=(*self.dropped, *named))
        if "reasoning_effort" in sent and _EFFORT.search(lower):
            return self._with_another_effort(str(sent["reasoning_effort"]), refusal)
        if self.trial is not None:
            return replace(self, dropped=(*self.dropped, self.trial), trial=None)
        if sent:
            return replace(self, paused=tuple(name for name in _RETURNING if name in sent or name in self.paused))
        return None

    def resumed(self) -> RequestShape:
        """The shape with the next of its paused parameters."""
        return replace(self, paused=self.paused[1:], trial=self.paused[0])

    def _with_another_effort(self, tried: str, said: str) -> RequestShape | None:
        """The shape with the lowest effort that a refusal names.

        Without the parameter, models reason at medium effort, so it is left out only where the refusal names no value.
        """
        named = _efforts_in(said)
        refused = (*self.refused_efforts, tried)
        left = [effort for effort in named if effort not in refused]
        if left and len(refused) < _EFFORTS_TRIED:
            return replace(self, effort=left[0], refused_efforts=refused)
        return None if set(named) - {tried} else replace(self, dropped=(*self.dropped, "reasoning_effort"))

    def facts(self) -> dict[str, object]:
        """What refusals have taught, as a value for JSON."""
        return {
            "most_tokens": self.most_tokens,
            "stream": self.stream,
            "system_role": self.system_role,
            "most_pictures": self.most_pictures,
            "effort": self.effort,
            "refused_efforts": self.refused_efforts,
            "dropped": self.dropped,
            "paused": self.paused,
        }

    def with_facts(self, facts: object) -> RequestShape | None:
        """This shape with what `facts` gave. None: that was for another effort, or by another version."""
        match facts:
            case {
                "most_tokens": int() | None as most_tokens,
                "stream": bool(stream),
                "system_role": bool(system_role),
                "most_pictures": int() | None as most_pictures,
                "effort": str() | None as effort,
                "refused_efforts": [*refused],
                "dropped": [*dropped],
                "paused": [*paused],
            } if self.effort in (effort, *refused[:1]):
                return replace(
                    self,
                    most_tokens=most_tokens,
                    stream=stream,
                    system_role=system_role,
                    most_pictures=most_pictures,
                    effort=effort,
                    refused_efforts=tuple(map(str, refused)),
                    dropped=tuple(map(str, dropped)),
                    paused=tuple(map(str, paused)),
                )
        return None

    def __str__(self) -> str:
        with_effort = {"reasoning_effort": f"reasoning_effort={self.effort}"}
        names = [with_effort.get(name, name) for name in self.parameters(0, {})]
        if self.most_tokens is not None:
            names.append(f"at most {self.most_tokens} tokens for a reply")
        if not self.system_role:
            names.append("the system prompt in the first message")
        if self.most_pictures is not None:
            names.append(f"at most {self.most_pictures} pictures" if self.most_pictures else "no pictures")
        if not self.stream:
            names.append("and it does not stream")
        return ", ".join(names) or "no optional parameter"


def longest_reply(refusal: str) -> int | None:
    """The longest reply, in tokens, that a refusal names as the maximum for every request. None: it names none."""
    lower = refusal[:_LONGEST_REFUSAL].lower()
    # Groups of digits: 8,192.
    lower = re.sub(r"(?<=\d),(?=\d{3}\b)", "", lower)
    if not re.search(
        r"max_(completion_|output_|new_)?tokens|maxoutputtokens|completion tokens|max(imum)? tokens", lower
    ):
        return None
    if _CONTEXT.search(lower) or (found := _MOST.search(lower)) is None:
        return None
    most = int(next(filter(None, found.groups())))
    most -= "(exclusive)" in found[0]
    return most if 1 <= most < 10**9 else None


def _efforts_in(said: str) -> list[str]:
    """The values of reasoning_effort that a refusal names, the lowest first and unknown ones last."""
    known, unknown = set[str](), list[str]()
    for sentence in _sentences(said):
        listed = _LIST.search(sentence)
        behind = sentence[listed.end() :] if listed else ""
        known.update(word for word in _QUOTED.findall(sentence) if word in _EFFORTS)
        known.update(word for word in re.findall(r"[\w-]+", behind) if word in _EFFORTS)
        unknown += [word for word in _QUOTED.findall(behind) if word not in (*_EFFORTS, *unknown, "reasoning_effort")]
    return [*sorted(known, key=_EFFORTS.index), *unknown]


def _sentences(said: str) -> Iterator[str]:
    """The sentences of a refusal: the strings of its JSON with a space in them, or the whole text if it is not JSON."""
    said = said[:_LONGEST_REFUSAL]
    if not said.lstrip().startswith(("{", "[")):
        yield said
        return
    for string in _JSON_STRING.findall(said):
        if " " in string:
            yield string.replace('\\"', '"')


def as_sent(message: Message) -> Any:
    """A message as JSON of the API, with its pictures."""
    if not message.pictures:
        return {"role": message.role, "content": message.content}
    return {
        "role": message.role,
        "content": [{"type": "text", "text": message.content}, *map(_part, message.pictures)],
    }


def _part(picture: Picture) -> Any:
    data = base64.b64encode(picture.data).decode()
    return {"type": "image_url", "image_url": {"url": f"data:{picture.media_type};base64,{data}", "detail": "auto"}}
