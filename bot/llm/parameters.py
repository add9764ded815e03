"""The optional parameters of a request, and which of them a server takes, as its refusals show."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

_UNKNOWN_PARAMETER = re.compile(
    r"unsupported.(parameter|field|argument|value)|un(recognized|known|expected).{0,20}(parameter|field|argument|property)"
    r"|extra.(fields|inputs|forbidden)|additional properties"
)
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


@dataclass(frozen=True, slots=True)
class RequestParameters:
    """The optional parameters that a server takes. `refused` are the values of reasoning_effort that it refused."""

    usage: bool = True
    limit: str | None = "max_tokens"
    effort: str | None = None
    refused: tuple[str, ...] = ()

    def parameters(self, reply_tokens: int) -> dict[str, object]:
        parameters: dict[str, object] = {}
        if self.usage:
            parameters["stream_options"] = {"include_usage": True}
        if self.limit:
            parameters[self.limit] = reply_tokens
        if self.effort:
            parameters["reasoning_effort"] = self.effort
        return parameters

    def dropping(self, error: str) -> RequestParameters | None:
        """The parameters without the one that a refusal names. None: the refusal is not about these parameters."""
        lower = error.lower()
        # Newer models of OpenAI take only max_completion_tokens:
        # https://platform.openai.com/docs/api-reference/chat/create
        shorter = replace(self, limit="max_completion_tokens" if self.limit == "max_tokens" else None)
        if self.usage and "stream_options" in lower:
            return replace(self, usage=False)
        if self.limit and self.limit in lower:
            return shorter
        if self.effort and _EFFORT.search(lower):
            return self._with_another_effort(self.effort, error)
        if _UNKNOWN_PARAMETER.search(lower):
            if self.effort:
                return replace(self, effort=None)
            return replace(self, usage=False) if self.usage else shorter if self.limit else None
        return None

    def _with_another_effort(self, tried: str, said: str) -> RequestParameters | None:
        """The parameters with the lowest effort that a refusal names.

        Without the parameter, models reason at medium effort, so it is left out only where the refusal names no value.
        """
        named = _efforts_in(said)
        refused = (*self.refused, tried)
        left = [effort for effort in named if effort not in refused]
        if left and len(refused) < _EFFORTS_TRIED:
            return replace(self, effort=left[0], refused=refused)
        return None if set(named) - {tried} else replace(self, effort=None)

    def __str__(self) -> str:
        names = [f"{name}={self.effort}" if name == "reasoning_effort" else name for name in self.parameters(0)]
        return ", ".join(names) or "none of the optional ones"


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
