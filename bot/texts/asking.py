"""The sentences of /ask."""

from __future__ import annotations

BLANK = "Put your question into the command: /ask question: why is the night sky dark?"
YOU_MAY_NOT_WRITE = "You can't write in this channel. Ask me in another one, or only for you: switch on only_for_me."
TRYING_BELOW = "I'm trying again, in a new message. My old answer stays above."
