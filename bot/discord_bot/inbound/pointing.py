"""Whether a question only points at another message, as "what does this say?" does. Pure.

It errs on the side of a question: what is taken for mere pointing reaches no model.
"""

from __future__ import annotations

import re

_POINTING = "this that these those it explain describe summarize summarise translate read"
_AROUND = """
    what what's whats who is are was does do did say says said mean means meant about of in to for on at the a an and so
    message post text picture image photo file link here there one thing
    me us you i think tell check please pls can could would true right correct
"""
_POINTERS = frozenset(_POINTING.split())
"""Words that need something to point at."""
_KNOWN = _POINTERS.union(_AROUND.split())
"""Those, and words that ask nothing without one of them."""


def only_points(text: str) -> bool:
    """Whether nothing is asked without the message that the text points at. So it is of a text without words."""
    words = set(re.findall(r"[^\W_]+(?:'[^\W_]+)?", text.lower().replace("’", "'")))
    return words <= _KNOWN and not (words and words.isdisjoint(_POINTERS))
