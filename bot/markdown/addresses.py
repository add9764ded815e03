"""Addresses in the form that Discord can link to."""

from __future__ import annotations

import re
from typing import Final

from bot.markdown.entities import decoded
from bot.markdown.escaping import has_marks, unescape

WEB: Final = re.compile(r"https?://[^\s/]", re.IGNORECASE)
"""Pattern of an address that Discord can link to: `https://a.b`, but not `mailto:a@b` or `#part`."""
IN_LABEL: Final = re.compile(r"<?https?://[^\s<>]*>?")
"""Pattern of an address in a label, such as `https://a.b` in `docs at https://a.b`. No label may contain one."""
_URL: Final = re.compile(r"https?://(?:[^\s<>*|~`\"\]\\，。、；：！？）」』】]|\\[_*~&#%()+=.-]|~(?!~))+")
"""Pattern of an address in text, such as `https://a.b/c?d_e`."""
_TAIL: Final = ".,;:!?'"
_AFTER_URL: Final = re.compile(r"[.,:;\"'!?)\]]*(?:\s|\Z)")
"""Pattern of text that may follow an address without becoming a part of it, such as `).` after `https://a.b/c`."""
_PLAIN: Final = re.compile(r"[^\s\\&*|~`<>\"\[\]()]*")
"""Pattern of an address that Discord reads as it is, such as `https://a.b/c_d?e=1`."""
_ROUND: Final = re.compile(r"[^()]*(?:\([^()]*\)[^()]*)*")
"""Pattern of an address whose end Discord finds, such as `/a_(b)`."""


def find_url(source: str, at: int, end: int) -> str:
    """Return the address that begins here in a text, as written and without the punctuation after it, or nothing."""
    url = _URL.match(source, at, end)
    if url is None:
        return ""
    text = url[0].rstrip(_TAIL)
    while text.endswith(")") and text.count(")") > text.count("("):
        text = text[:-1].rstrip(_TAIL)
    return text


def in_text(address: str, source: str, after: int, end: int) -> str:
    """Return an address as it stands in text, in angle brackets if what follows it might become a part of it."""
    bare = _AFTER_URL.match(source, after, end) and not has_marks(address) and _ROUND.fullmatch(address)
    return address if bare else f"<{address}>"


def as_target(address: str) -> str:
    """Return the address of a link as it can be shown, without spaces and angle brackets."""
    if _PLAIN.fullmatch(address):
        return address
    return _encoded(decoded(unescape(address)).strip(), ' \n|`\\<>"[]')


def masked(address: str) -> str:
    """Return an address in the form that Discord's links need, without marks and unpaired brackets."""
    if _PLAIN.fullmatch(address):
        return address
    address = _encoded(address, "*~")
    if not _ROUND.fullmatch(address):
        address = address.replace("(", "%28").replace(")", "%29")
    return address


def _encoded(address: str, characters: str) -> str:
    for character in characters:
        if character in address:
            address = address.replace(character, f"%{ord(character):02X}")
    return address
