"""Prompts with pictures as messages: what a model is sent of each picture, and what it is told of the others. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bot.core.model_events import Message
from bot.core.pictures import Picture, PictureProblem, PictureReference

MOST_PICTURES = 20
"""Pictures in one request. Most servers take more."""
_MOST_BYTES = 6 * 2**20
"""Bytes of all pictures in one request: writing it blocks the event loop for five milliseconds for each million."""
_LEFT_OUT_AT_ONCE = 0.4
"""The part of the pictures that is left out when there is one too many, so that requests seldom change by it."""
_UNSENT = {
    PictureProblem.GONE: "The picture {} is no longer available.",
    PictureProblem.WITHHELD: "The picture {} is no longer available.",
    PictureProblem.UNREADABLE: "The picture {} cannot be read.",
    PictureProblem.NO_PICTURE: "The picture {} cannot be read.",
    PictureProblem.UNAVAILABLE: "The picture {} is not available right now.",
    PictureProblem.UNSEEN: "You cannot see the picture {}.",
    PictureProblem.REFUSED: "You cannot see the picture {}.",
    PictureProblem.LEFT_OUT: "There is no room for the picture {}, so you cannot see it.",
}
_TYPED = str.maketrans({"⟦": "[[", "⟧": "]]"})
"""For a name, in which nothing may have the form of a platform note."""

Found = Mapping[PictureReference, Picture | PictureProblem]


@dataclass(frozen=True, slots=True)
class Illustrated(Message):
    """A message whose pictures are not found yet. Of those `left_out`, the model is only told."""

    references: tuple[PictureReference, ...] = ()
    left_out: tuple[PictureReference, ...] = ()

    @property
    def picture_tokens(self) -> int:
        """The estimated tokens of the pictures."""
        return sum(each.tokens for each in self.references)

    def with_found(self, found: Found, otherwise: PictureProblem) -> Message:
        """The message with its pictures, and with a note on each that it is sent without."""
        problems = self.problems(found, otherwise)
        notes = [
            f"⟦{_UNSENT[problem].format(name.translate(_TYPED))}⟧"
            for problem, names in problems.items()
            for name in names
        ]
        pictures = [picture for each in self.references if isinstance(picture := found.get(each), Picture)]
        return Message(self.role, "\n".join([self.content, *notes]), tuple(pictures))

    def problems(self, found: Found, otherwise: PictureProblem) -> dict[PictureProblem, list[str]]:
        """The names of the pictures that the message is sent without, by reason."""
        problems: dict[PictureProblem, list[str]] = {}
        for each in self.references:
            problem = found.get(each, otherwise)
            if isinstance(problem, PictureProblem):
                problems.setdefault(problem, []).append(each.name)
        if self.left_out:
            problems.setdefault(PictureProblem.LEFT_OUT, []).extend(each.name for each in self.left_out)
        return problems


def illustrated(message: Message, references: Sequence[PictureReference], most_tokens: float = math.inf) -> Message:
    """A prompt's message with its pictures: the first one, and of the others those that fit so many tokens in all."""
    if not references:
        return message
    sent, tokens = 0, 0
    for each in references:
        tokens += each.tokens
        if sent and tokens > most_tokens:
            break
        sent += 1
    return Illustrated(
        message.role, message.content, references=tuple(references[:sent]), left_out=tuple(references[sent:])
    )


def references_of(message: Message) -> tuple[PictureReference, ...]:
    """The pictures of a message that are not found yet."""
    return message.references if isinstance(message, Illustrated) else ()


def chosen(
    earlier: Sequence[PictureReference], own: Sequence[PictureReference], most: int
) -> tuple[Sequence[PictureReference], Sequence[PictureReference]]:
    """Those of the earlier pictures, oldest first, and of a prompt's own that are sent where a request may have `most`.

    Of the earlier ones, several are left out at a time, so that the requests that follow begin the same again.
    """
    own, too_many = own[:most], len(earlier) + len(own) - most
    if too_many <= 0:
        return earlier, own
    step = max(1, math.floor(most * _LEFT_OUT_AT_ONCE))
    return earlier[min(len(earlier), step * math.ceil(too_many / step)) :], own


def bounded(
    found: Found, earlier: Sequence[PictureReference], own: Sequence[PictureReference]
) -> dict[PictureReference, Picture | PictureProblem]:
    """What was found of pictures, without those that are too much for one request: first the earliest go."""
    bounded, left = dict(found), _MOST_BYTES
    for each in (*own, *reversed(earlier)):
        if isinstance(picture := found.get(each), Picture):
            left -= len(picture.data)
            if left < 0:
                bounded[each] = PictureProblem.LEFT_OUT
    return bounded
