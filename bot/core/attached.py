"""The files in a prompt: what a prompt says of each before it is read, and afterwards. Pure.

Each file has an entry, in lines of its own that only the platform can write. In a prompt that is kept, an entry has the
platform's id of its file, so that what is read later, or was read before an edit, finds its place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from bot.core.prompt_text import PICTURE, as_typed, asked, picture_note, platform_note

VOICE = "voice message"
"""What a voice message is called in a prompt. The name of its file says nothing."""
_AS_HEARD = "the words as they were heard"
_UNREAD = "attached, but not read: "
_BEGINNING = r"^(?P<quoted>(?:> )?)⟦#(?P<id>[0-9]{1,19}) "
_UNREAD_ENTRY = re.compile(rf"{_BEGINNING}{_UNREAD}(?P<name>[^⟦⟧\n]*)⟧$", re.MULTILINE)
_PICTURE = PICTURE.removeprefix("⟦")
_OPEN_ENTRY = re.compile(rf"{_BEGINNING}(?:{_UNREAD}|{_PICTURE})[^⟦⟧\n]*⟧$", re.MULTILINE)
"""The entry of a file that may still turn out to be another kind of file than it says."""
_READ_ENTRY = re.compile(
    rf"{_BEGINNING}(?:(?P<what>file|{VOICE}): [^⟦⟧\n]*⟧$.*?^(?P=quoted)⟦#(?P=id) end of (?P=what)⟧$"
    rf"|(?!{_UNREAD})[^⟦⟧\n]*⟧$)",
    re.MULTILINE | re.DOTALL,
)
_HEARD = re.compile(
    rf"^(?P<quoted>(?:> )?)⟦(?:#[0-9]{{1,19}} )?{VOICE}: {_AS_HEARD}⟧$\n(?P<words>.*?)\n"
    rf"^(?P=quoted)⟦(?:#[0-9]{{1,19}} )?end of {VOICE}⟧$",
    re.MULTILINE | re.DOTALL,
)
_UNHEARD = re.compile(rf"^(?P<quoted>(?:> )?)⟦(?:#[0-9]{{1,19}} )?{_UNREAD}{VOICE}⟧$", re.MULTILINE)
_ID = re.compile(r"⟦#[0-9]{1,19} ")


def unread_note(file_id: int, name: str) -> str:
    """The entry of a file until it is read, and as long as it can only not be read for the moment."""
    return platform_note(f"#{file_id} {_UNREAD}{as_typed(name)}")


def picture_entry(file_id: int, name: str, description: str = "") -> str:
    """The entry of a picture, and of a file that the platform takes for one until it is read."""
    return f"⟦#{file_id} {picture_note(name, description).removeprefix('⟦')}"


def unreadable_note(file_id: int, name: str, kind: str = "") -> str:
    """The entry of a file that cannot be read."""
    return platform_note(f"#{file_id} {kind}attached, but not readable for you: {as_typed(name)}")


def text_entry(file_id: int, name: str, text: str, end: str | None) -> str:
    """The entry of a text file: its text, which can neither end the entry nor pass for the platform's words.

    `end` is the end of a text whose middle is left out.
    """
    left_out = [] if end is None else [platform_note("The middle of the file is left out here."), as_typed(end)]
    ended = platform_note(f"#{file_id} end of file")
    return "\n".join([platform_note(f"#{file_id} file: {as_typed(name)}"), as_typed(text), *left_out, ended])


def voice_entry(file_id: int, words: str) -> str:
    """The entry of a voice message: its words, which can neither end the entry nor pass for the platform's."""
    ended = platform_note(f"#{file_id} end of {VOICE}")
    return "\n".join([platform_note(f"#{file_id} {VOICE}: {_AS_HEARD}"), as_typed(words), ended])


def heard(prompt: str) -> str:
    """The words that were heard in the voice messages of a prompt; empty without any."""
    if f"{VOICE}: " not in prompt:
        return ""
    found = _HEARD.finditer(prompt)
    return " ".join(line.removeprefix(each["quoted"]) for each in found for line in each["words"].split("\n"))


def is_unheard(prompt: str) -> bool:
    """Whether a prompt has a voice message that was not heard: its own, or a quoted one that it asks nothing about."""
    unheard = _UNHEARD.finditer(prompt) if _UNREAD in prompt else ()
    return any(not each["quoted"] or not asked(prompt) for each in unheard)


def may_be_unread(prompt: str) -> bool:
    """Whether a prompt may have a file that is not read, or a picture that may be none. No is certain."""
    return _UNREAD in prompt or _PICTURE in prompt


def unread(prompt: str) -> dict[int, str]:
    """The files in a prompt that are not read, in their order: the id of each, and its name."""
    return {int(entry["id"]): entry["name"] for entry in _UNREAD_ENTRY.finditer(prompt)}


def entries(prompt: str) -> dict[int, str]:
    """The entries of the files in a prompt that were read, or found unreadable, by id."""
    found = {}
    for entry in _READ_ENTRY.finditer(prompt):
        lines = entry[0].split("\n")
        found[int(entry["id"])] = "\n".join(line.removeprefix(entry["quoted"]) for line in lines)
    return found


def filled(prompt: str, found: Mapping[int, str], quote_length: int = 0) -> tuple[str, int]:
    """A prompt with these entries in place of those that say less, and the length of its quote then.

    Those are of files that were not read, and of files that are no pictures.
    """
    pieces, at, length = [], 0, quote_length
    for entry in _OPEN_ENTRY.finditer(prompt):
        own = entry[0].removeprefix(entry["quoted"])
        told = found.get(int(entry["id"]), own)
        # An edit may have changed how a picture is described.
        picture = f"⟦#{entry['id']} {_PICTURE}"
        lines = (own if own.startswith(picture) and told.startswith(picture) else told).split("\n")
        written = "\n".join(entry["quoted"] + line for line in lines)
        if entry.start() < quote_length:
            length += len(written) - len(entry[0])
        pieces += [prompt[at : entry.start()], written]
        at = entry.end()
    return "".join([*pieces, prompt[at:]]), length


def without_ids(prompt: str) -> str:
    """A prompt as it is read, without the ids of its files."""
    return _ID.sub("⟦", prompt) if "⟦#" in prompt else prompt
