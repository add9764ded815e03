"""Which of our optional parameters a server takes, learned from its refusals."""

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
"""Values of reasoning_effort that servers know, the least first."""
_EFFORTS_TRIED = 3
"""The setting's, and two that errors named: the first may list what the server knows, the next what its model takes."""
_LIST = re.compile(
    r"\b(?:supported|allowed|valid|possible|accepted) values|one of|(?:should|must) be|expected", re.IGNORECASE
)
_QUOTED = re.compile(r"""["'`‘“]([\w-]{1,40})["'`’”]""")
_JSON_STRING = re.compile(r'"((?:[^"\\]|\\.?)*+)(?:"|\Z)')
"""Also one without an end: to search for it from each mark again would take a time that grows with the square."""
_LONGEST_REFUSAL = 4_000
"""Characters of a refusal that are searched for values: what is behind them is no message."""


@dataclass(frozen=True, slots=True)
class RequestParameters:
    """Which of our optional parameters a server takes. `refused` are the efforts that it did not."""

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
        """The dialect without what a refusal complains of; None where it is not about our parameters."""
        lower = error.lower()
        # The newer models of OpenAI want the newer name.
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
        """The lowest effort that a refusal names. Without the parameter, models that take one think at medium, so that
        it is left out only where the refusal names none.
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
    """The values of reasoning_effort that a refusal names, the lowest first; words that we do not know come last."""
    known, unknown = set[str](), list[str]()
    for sentence in _sentences(said):
        listed = _LIST.search(sentence)
        behind = sentence[listed.end() :] if listed else ""
        known.update(word for word in _QUOTED.findall(sentence) if word in _EFFORTS)
        known.update(word for word in re.findall(r"[\w-]+", behind) if word in _EFFORTS)
        unknown += [word for word in _QUOTED.findall(behind) if word not in (*_EFFORTS, *unknown, "reasoning_effort")]
    return [*sorted(known, key=_EFFORTS.index), *unknown]


def _sentences(said: str) -> Iterator[str]:
    """What a refusal says in words: the strings of its JSON that are more than a name, or all of it."""
    said = said[:_LONGEST_REFUSAL]
    if not said.lstrip().startswith(("{", "[")):
        yield said
        return
    for string in _JSON_STRING.findall(said):
        if " " in string:
            yield string.replace('\\"', '"')
