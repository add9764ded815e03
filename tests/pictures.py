"""Pictures that tests send, and what the stand-in for a model server was shown of them."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from io import BytesIO

from PIL import Image

from bot.core.pictures import Picture, PictureProblem, PictureReference
from bot.standin.model import Request


def png(width: int, height: int, colour: tuple[int, int, int] = (200, 30, 40)) -> bytes:
    """A picture of one colour, as a file."""
    file = BytesIO()
    Image.new("RGB", (width, height), colour).save(file, "PNG")
    return file.getvalue()


def picture(width: int = 64, height: int = 48) -> Picture:
    return Picture(png(width, height), "image/png", width, height)


def reference(name: str, width: int = 64, height: int = 48) -> PictureReference:
    return PictureReference(f"at/{name}", name, width, height)


def shown(request: Request) -> list[tuple[str, tuple[int, int]]]:
    """The format and the size of each picture in a request, decoded again."""
    return [(image.format or "", image.size) for image in _decoded(request)]


def colours(request: Request) -> list[object]:
    """The colour in the middle of each picture in a request."""
    return [image.convert("RGB").getpixel((image.width // 2, image.height // 2)) for image in _decoded(request)]


def _decoded(request: Request) -> Iterator[Image.Image]:
    for message in request.messages:
        content: object = message["content"]
        for part in content if isinstance(content, list) else ():
            if part["type"] == "image_url":
                head, _, data = part["image_url"]["url"].partition(",")
                assert head in ("data:image/png;base64", "data:image/jpeg;base64")
                assert part["image_url"]["detail"] == "auto"
                yield Image.open(BytesIO(base64.b64decode(data, validate=True)))


class Album:
    """A platform that gives pictures by their source, and notes what it was asked for."""

    def __init__(self, **pictures: Picture | PictureProblem) -> None:
        self.pictures = {f"at/{name}.png": picture for name, picture in pictures.items()}
        self.asked: list[str] = []

    async def fetch(self, reference: PictureReference) -> Picture | PictureProblem:
        self.asked.append(reference.source)
        return self.pictures.get(reference.source, PictureProblem.GONE)
