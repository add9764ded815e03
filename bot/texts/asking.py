"""The sentences of /ask."""

from __future__ import annotations

BLANK = "Put your question into the command: /ask question: why is the night sky dark?"
