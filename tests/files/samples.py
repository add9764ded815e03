"""Files as people send them, and as nobody should: made here, byte by byte where no library makes such a one."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from functools import cache
from io import SEEK_END, BytesIO

from PIL import Image
from pypdf import PdfReader, PdfWriter

RED, BLUE = (220, 30, 30), (20, 40, 200)


def written(picture: Image.Image, kind: str, **options: object) -> bytes:
    file = BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def picture(kind: str = "PNG", size: tuple[int, int] = (64, 48), **options: object) -> bytes:
    """A picture whose left half is red and whose right half is blue."""
    image = Image.new("RGB", size, RED)
    image.paste(BLUE, (size[0] // 2, 0, *size))
    return written(image, kind, **options)


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack("!I", len(content)) + kind + content + struct.pack("!I", zlib.crc32(kind + content))


def png(width: int, height: int, *before: bytes, rows: int = 1) -> bytes:
    """A PNG that claims a size and holds some rows of it, with these chunks before them."""
    head = struct.pack("!IIBBBBB", width, height, 8, 2, 0, 0, 0)
    packed = zlib.compress(bytes(rows * (1 + 3 * width)), 9)
    signature = b"\x89PNG\r\n\x1a\n"
    return signature + chunk(b"IHDR", head) + b"".join(before) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def animation(frames: int) -> bytes:
    """A GIF whose frames are red, blue, blue, and so on."""
    colours = [Image.new("P", (32, 32), 0), Image.new("P", (32, 32), 1)]
    for each in colours:
        each.putpalette([*RED, *BLUE])
    return written(
        colours[0], "GIF", save_all=True, append_images=[colours[1]] * (frames - 1), duration=20, optimize=False
    )


def pdf(pages: Sequence[str]) -> bytes:
    """A PDF with a line of text on each page; a page without text has none."""
    return _pdf([f"BT /F1 12 Tf 20 100 Td ({text}) Tj ET".encode() if text else b"0 0 m 9 9 l S" for text in pages])


def _pdf(pages: Sequence[bytes], properties: str = "") -> bytes:
    """A PDF of pages with these contents, whose streams have these properties beside their length."""
    kids = " ".join(f"{4 + 2 * index} 0 R" for index in range(len(pages)))
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for index, content in enumerate(pages):
        has = f"/Resources << /Font << /F1 3 0 R >> >> /MediaBox [0 0 300 200] /Contents {5 + 2 * index} 0 R"
        objects.append(f"<< /Type /Page /Parent 2 0 R {has} >>".encode())
        objects.append(f"<< /Length {len(content)} {properties} >>\nstream\n".encode() + content + b"\nendstream")
    file = BytesIO(b"%PDF-1.7\n")
    file.seek(0, SEEK_END)
    places = []
    for number, each in enumerate(objects, 1):
        places.append(file.tell())
        file.write(b"%d 0 obj\n%s\nendobj\n" % (number, each))
    table = file.tell()
    file.write(f"xref\n0 {len(objects) + 1}\n0000000000 65535 f \n".encode())
    file.write("".join(f"{place:010} 00000 n \n" for place in places).encode())
    file.write(f"trailer\n<< /Size {len(objects) + 1} /Root 1 0 R >>\nstartxref\n{table}\n%%EOF\n".encode())
    return file.getvalue()


def encrypted_pdf() -> bytes:
    writer = PdfWriter(clone_from=PdfReader(BytesIO(pdf(["The secret plan"]))))
    writer.encrypt("password", algorithm="RC4-128")
    file = BytesIO()
    writer.write(file)
    return file.getvalue()


def inflating_pdf() -> bytes:
    """A PDF with a page of few bytes that become hundreds of millions."""
    return _pdf([zlib.compress(deflated_zeros(400), 9)], "/Filter [/FlateDecode /FlateDecode]")


def deflated_zeros(millions: int) -> bytes:
    """As many zeros, deflated. To deflate a million and repeat that takes a moment, where all of them take seconds."""
    packer = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    million = packer.compress(bytes(1_000_000)) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = millions * 1_000_000 % 65_521 << 16 | 1
    return b"\x78\xda" + million * millions + packer.flush() + checksum.to_bytes(4, "big")


@cache
def endless_jpeg() -> bytes:
    """A JPEG of thousands of scans, each of which takes as long as a whole picture."""
    data = picture("JPEG", (6000, 6000), progressive=True)
    scan = data[data.rindex(b"\xff\xda") : -2]
    return data[:-2] + scan * 3000 + data[-2:]


def voice(seconds: float, *, serial: int = 7, packet: bytes = b"\xf8\xff\xfe") -> bytes:
    """A voice message of silence, as Discord's clients send them: OGG with packets of Opus of 20 ms each."""
    packets = [packet] * round(seconds * 50)
    heads = [b"OpusHead\x01\x01" + struct.pack("<HIhB", 0, 48_000, 0, 0), b"OpusTags" + bytes(8)]
    pages = [ogg_page(heads[:1], 0, serial, flags=2), ogg_page(heads[1:], 1, serial)]
    pages += [ogg_page(packets[at : at + 50], 2 + at // 50, serial) for at in range(0, len(packets), 50)]
    return b"".join(pages)


def ogg_page(packets: Sequence[bytes], number: int, serial: int, *, flags: int = 0) -> bytes:
    """A page of an OGG file with some packets, each shorter than 255 bytes."""
    position = max(0, number - 1) * 48_000
    head = b"OggS\0" + struct.pack("<BqIIIB", flags, position, serial, number, 0, len(packets))
    return head + bytes(map(len, packets)) + b"".join(packets)
