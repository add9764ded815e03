"""Pictures: decoded within limits, turned, scaled and written anew, so that nothing else is left of the file."""

from __future__ import annotations

import warnings
from io import BytesIO

from PIL import Image, ImageOps, ImageStat

from bot.files.results import FileProblem, Picture, ReadFile, Unreadable

MOST_PIXELS = 50_000_000
"""Pixels of the largest picture that is decoded, as many as a phone's camera makes. Each takes up to 4 bytes."""
LONGEST_SIDE = 1536
"""Pixels of a scaled picture's longer side. Models look at no more, and scale down what is larger."""
_QUALITY = 85
_LIGHT = 190
"""The mean brightness, of 255, from which a drawing without a background was made for a dark one."""
_FORMATS = ("PNG", "JPEG", "WEBP", "GIF")
"""Each further decoder would be a further risk."""

# Pillow refuses a picture of more than twice this number before it decodes anything, and only warns of a smaller one.
Image.MAX_IMAGE_PIXELS = MOST_PIXELS // 2
warnings.simplefilter("ignore", Image.DecompressionBombWarning)


def read(data: bytes) -> ReadFile:
    """The first frame of a picture. Pillow raises many kinds of errors for one that is broken."""
    try:
        with Image.open(BytesIO(data), formats=_FORMATS) as file:
            # A JPEG is decoded at a half, a quarter or an eighth of its size where that is enough.
            file.draft("RGB", (LONGEST_SIDE, LONGEST_SIDE))
            file.load()
            opened: Image.Image = file
            if opened.mode.startswith("I;16"):
                # Pillow would show every brightness but the 256 lowest as white.
                opened = opened.point(lambda brightness: brightness * (1 / 256))
            mode = "RGBA" if opened.has_transparency_data else "RGB"
            # A conversion is a copy, and a large picture takes half of the memory that there is.
            picture = opened if opened.mode == mode else opened.convert(mode)
            picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
    except Image.DecompressionBombError:
        return Unreadable(FileProblem.TOO_MANY_PIXELS)
    written = _opaque(_upright(picture))
    png, jpeg = _file(written, "PNG", optimize=True), _file(written, "JPEG", quality=_QUALITY)
    smaller, media_type = (png, "image/png") if len(png) <= len(jpeg) else (jpeg, "image/jpeg")
    return Picture(smaller, media_type, *written.size)


def _upright(picture: Image.Image) -> Image.Image:
    """A picture turned as its camera was held."""
    try:
        return ImageOps.exif_transpose(picture)
    except Exception:  # noqa: BLE001 - a picture with broken metadata is still a picture
        return picture


def _opaque(picture: Image.Image) -> Image.Image:
    """A picture on a background, and without what else Pillow knows of it. What is light stands on black."""
    alpha = picture.getchannel("A") if picture.mode == "RGBA" else None
    light = alpha is not None and alpha.getbbox() and ImageStat.Stat(picture.convert("L"), alpha).mean[0] > _LIGHT
    opaque = Image.new("RGB", picture.size, "black" if light else "white")
    opaque.paste(picture, mask=alpha)
    return opaque


def _file(picture: Image.Image, kind: str, **options: int) -> bytes:
    file = BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()
