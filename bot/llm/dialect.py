"""Which of our optional parameters a server takes, learned from its refusals."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

_UNKNOWN_PARAMETER = re.compile(
    r"unsupported.(parameter|field|argument|value)|un(recognized|known|expected).{0,20}(parameter|field|argument|property)"
    r"|extra.(fields|inputs|forbidden)|additional properties"
)


@dataclass(frozen=True, slots=True)
class Dialect:
    """Which of our optional parameters a server takes."""

    usage: bool = True
    limit: str | None = "max_tokens"

    def parameters(self, reply_tokens: int) -> dict[str, object]:
        parameters: dict[str, object] = {}
        if self.usage:
            parameters["stream_options"] = {"include_usage": True}
        if self.limit:
            parameters[self.limit] = reply_tokens
        return parameters

    def without(self, said: str) -> Dialect | None:
        """The dialect without what a refusal complains of; None where it is not about our parameters."""
        # The newer models of OpenAI want the newer name.
        shorter = replace(self, limit="max_completion_tokens" if self.limit == "max_tokens" else None)
        if self.usage and "stream_options" in said:
            return replace(self, usage=False)
        if self.limit and self.limit in said:
            return shorter
        if _UNKNOWN_PARAMETER.search(said):
            return replace(self, usage=False) if self.usage else shorter if self.limit else None
        return None

    def __str__(self) -> str:
        return ", ".join(self.parameters(0)) or "none of the optional ones"
