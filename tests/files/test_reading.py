"""What is read of files, good and bad ones, and the process that reads them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from io import BytesIO
from pathlib import Path

import pytest
import pytest_asyncio
from PIL import Image

from bot.files import FileProblem, FileReader, Picture, Text, Unreadable
from tests.files.samples import (
    animation,
    chunk,
    deflated_zeros,
    encrypted_pdf,
    endless_jpeg,
    inflating_pdf,
    pdf,
    picture,
    png,
    written,
)
from tests.waiting import FOR_A_PROCESS, until

WHOLE = 1_000_000
"""A limit that no text here reaches."""


@pytest_asyncio.fixture
async def files() -> AsyncIterator[FileReader]:
    reader = FileReader(time_limit=60)
    yield reader
    await reader.close()


def shown(result: object) -> Image.Image:
    """A result as a model sees it."""
    assert isinstance(result, Picture), result
    image = Image.open(BytesIO(result.data))
    assert (image.size, image.get_format_mimetype(), image.mode) == (
        (result.width, result.height),
        result.media_type,
        "RGB",
    )
    assert set(image.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
    return image


def colours(image: Image.Image, *places: tuple[int, int]) -> list[str]:
    """Which of red and blue stands at each place."""
    found = [image.getpixel(place) for place in places]
    assert all(isinstance(each, tuple) for each in found)
    return ["red" if each[0] > each[2] else "blue" for each in found if isinstance(each, tuple)]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
async def test_pictures_are_told_by_their_content_and_scaled(files: FileReader, kind: str) -> None:
    image = shown(await files.read(picture(kind, (3200, 2400)), WHOLE))
    assert image.size == (1536, 1152)
    assert colours(image, (100, 600), (1400, 600)) == ["red", "blue"]


async def test_a_picture_is_turned_as_the_camera_was_held_and_says_no_more_where_that_was(files: FileReader) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "A camera"
    exif.get_ifd(0x8825)[1] = "N"
    image = shown(await files.read(picture("JPEG", (400, 200), exif=exif, comment=b"at home"), WHOLE))
    assert image.size == (200, 400)
    assert colours(image, (100, 50), (100, 350)) == ["red", "blue"]


async def test_broken_metadata_leave_a_picture_readable(files: FileReader) -> None:
    image = shown(await files.read(picture("JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff"), WHOLE))
    assert image.size == (64, 48)


async def test_only_the_first_of_many_frames_is_shown(files: FileReader) -> None:
    assert colours(shown(await files.read(animation(3000), WHOLE)), (16, 16)) == ["red"]


async def test_what_is_drawn_on_nothing_can_be_seen(files: FileReader) -> None:
    for drawn, ground in ((0, 255), (255, 0)):
        image = Image.new("LA", (40, 40), (drawn, 0))
        image.paste((drawn, 255), (10, 10, 30, 30))
        seen = shown(await files.read(written(image, "PNG"), WHOLE))
        assert [seen.getpixel(place) for place in ((20, 20), (2, 2))] == [(drawn,) * 3, (ground,) * 3]


async def test_brightness_of_16_bits_is_no_white_area(files: FileReader) -> None:
    seen = shown(await files.read(written(Image.new("I;16", (8, 8), 0x8000), "PNG"), WHOLE))
    assert seen.getpixel((4, 4)) == (128, 128, 128)


GERMAN = "Fünf größere Bären fraßen übermäßig süße Äpfel.\n"
JAPANESE = "これは日本語で書かれたログファイルです。\n"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"print('hi')\r\nexit()\r\n", "print('hi')\nexit()"),
        (b"\xef\xbb\xbfname,age\nAda,36\n", "name,age\nAda,36"),
        ("[error] \U0001f525\n".encode("utf-16"), "[error] \U0001f525"),
        ("wide".encode("utf-32"), "wide"),
        ((GERMAN * 20).encode("cp1252"), (GERMAN * 20).strip()),
        ((JAPANESE * 20).encode("shift-jis"), (JAPANESE * 20).strip()),
        ("cut within a charact\u00e9".encode()[:-1], "cut within a charact"),
        (b"\x1b[31mred\x1b[0m\n", "\x1b[31mred\x1b[0m"),
    ],
    ids=["Windows", "utf-8 with a mark", "utf-16", "utf-32", "cp1252", "shift-jis", "cut", "terminal"],
)
async def test_a_text_is_read_whatever_its_encoding(files: FileReader, data: bytes, text: str) -> None:
    assert await files.read(data, WHOLE) == Text(text)


async def test_a_long_text_keeps_its_beginning_and_its_end(files: FileReader) -> None:
    lines = [f"{number:07} was noted" for number in range(1_000_000)]
    kept = await files.read("\n".join(lines).encode(), 2000)
    assert isinstance(kept, Text)
    assert kept.end is not None
    beginning, end = kept.text.split("\n"), kept.end.split("\n")
    assert beginning == lines[: len(beginning)]
    assert end == lines[-len(end) :]
    assert 1900 < len((kept.text + kept.end).encode()) <= 2000
    one_line = await files.read("é".encode() * 5000, 1001)
    assert one_line == Text("é" * 250, "é" * 250)


async def test_a_pdf_is_read_with_its_pages(files: FileReader) -> None:
    assert await files.read(pdf(["The beginning", "", "The end"]), WHOLE) == Text(
        "[page 1]\nThe beginning\n\n[page 2]\n\n[page 3]\nThe end"
    )
    long = await files.read(pdf([f"This is page number {number}" for number in range(1, 901)]), 400)
    assert isinstance(long, Text)
    assert long.text.startswith("[page 1]\nThis is page number 1\n\n[page 2]")
    assert (long.end or "").endswith("[page 900]\nThis is page number 900")


BAD: dict[str, tuple[bytes, FileProblem]] = {
    "nothing": (b"", FileProblem.EMPTY),
    "white space": (b" \n\n ", FileProblem.EMPTY),
    "30,000 x 30,000": (png(30_000, 30_000), FileProblem.TOO_MANY_PIXELS),
    "a canvas of 16,384 x 16,384": (
        b"RIFF\x32\0\0\0WEBPVP8X\x0a\0\0\0\x10\0\0\0\xff\x3f\0\xff\x3f\0" + bytes(32),
        FileProblem.TOO_MANY_PIXELS,
    ),
    "a frame larger than its picture": (
        b"GIF89a\x08\0\x08\0\x80\0\0\0\0\0\xff\xff\xff,\0\0\0\0\xff\xff\xff\xff\0\x02\x02D\x01\0;",
        FileProblem.TOO_MANY_PIXELS,
    ),
    "text that inflates": (
        png(8, 8, *[chunk(b"zTXt", b"k\0\0" + deflated_zeros(50))], rows=8),
        FileProblem.BROKEN,
    ),
    "cut": (picture("JPEG", (800, 600))[:-2000], FileProblem.BROKEN),
    "a beginning and nothing else": (b"\xff\xd8\xff\xe0 not a picture at all", FileProblem.BROKEN),
    "a program": (b"\x7fELF\x02\x01\x01" + bytes(9) + bytes(range(256)) * 20, FileProblem.NOT_READABLE),
    "an archive": (b"PK\x03\x04" + os.urandom(4096) + bytes(4), FileProblem.NOT_READABLE),
    "controls": (bytes(range(1, 9)) * 500, FileProblem.NOT_READABLE),
    "a PDF with a password": (encrypted_pdf(), FileProblem.ENCRYPTED),
    "a PDF of 2,000 pages": (pdf(["page"] * 2000), FileProblem.TOO_MANY_PAGES),
    "a PDF of scans": (pdf(["", "", ""]), FileProblem.ONLY_SCANS),
    "a PDF in name only": (b"%PDF-1.7\nnothing that follows is one\n", FileProblem.BROKEN),
    "a PDF that inflates": (inflating_pdf(), FileProblem.BROKEN),
}


@pytest.mark.parametrize("case", BAD)
async def test_a_bad_file_is_a_problem_and_the_next_file_is_read(files: FileReader, case: str) -> None:
    data, problem = BAD[case]
    assert await files.read(data, WHOLE) == Unreadable(problem)
    assert await files.read(b"still here", WHOLE) == Text("still here")


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory")
async def test_memory_has_a_limit(files: FileReader) -> None:
    # Eight bytes a pixel, because the transparent part has to be weighed.
    large = written(Image.new("RGBA", (8000, 6200), (1, 2, 3, 4)), "PNG")
    assert await files.read(large, WHOLE) == Unreadable(FileProblem.TOO_DEMANDING)
    assert await files.read(b"still here", WHOLE) == Text("still here")


async def test_time_has_a_limit() -> None:
    files = FileReader(time_limit=1)
    assert await files.read(endless_jpeg(), WHOLE) == Unreadable(FileProblem.TOO_DEMANDING)
    await files.close()


def workers(of: int | None = None) -> set[int]:
    """The processes that a process, or else this one, has started to read files."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            line = (process / "cmdline").read_bytes()
            parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
            if b"bot.files.worker" in line and parent == (of or os.getpid()):
                found.add(int(process.name))
    return found


needs_processes = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes in /proc")


@needs_processes
async def test_the_worker_starts_with_the_first_file_and_knows_no_secrets(
    files: FileReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISCORD_TOKEN", "a-secret-token")
    assert workers() == set()
    await files.read(b"text", WHOLE)
    await files.read(b"text", WHOLE)
    [worker] = workers()
    assert b"a-secret-token" not in Path(f"/proc/{worker}/environ").read_bytes()
    await files.close()
    assert workers() == set()


@needs_processes
@pytest.mark.parametrize("code", [signal.SIGKILL, signal.SIGSEGV])
async def test_a_worker_that_dies_costs_one_file(files: FileReader, code: signal.Signals) -> None:
    await files.read(b"text", WHOLE)
    [worker] = workers()
    reading, waiting = (
        asyncio.create_task(files.read(endless_jpeg(), WHOLE)),
        asyncio.create_task(files.read(b"the next", WHOLE)),
    )
    await until(lambda: reads(worker), within=FOR_A_PROCESS)
    os.kill(worker, code)
    problem = FileProblem.TOO_DEMANDING if code is signal.SIGKILL else FileProblem.BROKEN
    assert await reading == Unreadable(problem)
    assert await waiting == Text("the next")


@needs_processes
async def test_whoever_stops_waiting_leaves_no_answer_for_the_next_file(files: FileReader) -> None:
    await files.read(b"text", WHOLE)
    [worker] = workers()
    reading = asyncio.create_task(files.read(endless_jpeg(), WHOLE))
    await until(lambda: reads(worker), within=FOR_A_PROCESS)
    reading.cancel()
    assert await files.read(b"the next", WHOLE) == Text("the next")
    await until(lambda: worker not in workers())


@needs_processes
async def test_an_end_waits_for_no_file(files: FileReader) -> None:
    await files.read(b"text", WHOLE)
    [worker] = workers()
    reading, waiting = (asyncio.create_task(files.read(data, WHOLE)) for data in (endless_jpeg(), b"the next"))
    await until(lambda: reads(worker), within=FOR_A_PROCESS)
    await files.close()
    assert workers() == set()
    assert await reading == Unreadable(FileProblem.TOO_DEMANDING)
    assert await waiting == Unreadable(FileProblem.READER_FAILED)


def reads(worker: int) -> bool:
    """Whether a worker has a picture in its memory, so that it is decoding one."""
    status = Path(f"/proc/{worker}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) > 100_000


PARENT = """
import asyncio, sys
from bot.files import FileReader
async def main():
    files = FileReader(time_limit=1000)
    await files.read(b"text", 10)
    print(files._worker.process.pid, flush=True)
    await files.read(sys.stdin.buffer.read(), 10)
asyncio.run(main())
"""


@needs_processes
async def test_the_worker_of_a_killed_bot_ends() -> None:
    bot = await asyncio.create_subprocess_exec(sys.executable, "-c", PARENT, stdin=PIPE, stdout=PIPE)
    assert bot.stdin is not None
    assert bot.stdout is not None
    worker = int(await bot.stdout.readline())
    bot.stdin.write(b"text")
    bot.kill()
    await bot.wait()
    await until(lambda: not Path(f"/proc/{worker}/status").exists(), within=FOR_A_PROCESS)


NONSENSE = """#!{python}
import struct, sys
sys.stdin.buffer.read(20)
head, payload = {answer!r}
sys.stdout.buffer.write(struct.pack("!QQ", len(head), len(payload)) + head + payload)
sys.stdout.buffer.flush()
sys.stdin.buffer.read()
"""


@needs_processes
@pytest.mark.parametrize(
    "answer",
    [
        (b"no JSON", b""),
        (b'{"problem": "unheard of"}', b""),
        (b'{"text": null}', b"\xff"),
        (b"[" * 100_000, b""),
        (b"\xff", b""),
        (b"7", b""),
    ],
    ids=["no JSON", "unknown problem", "no text", "too deep", "no UTF-8", "a number"],
)
async def test_a_worker_that_answers_nonsense_costs_one_file(
    files: FileReader, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answer: tuple[bytes, bytes]
) -> None:
    script = tmp_path / "python"
    script.write_text(NONSENSE.format(python=sys.executable, answer=answer))
    script.chmod(0o700)
    with monkeypatch.context() as patched:
        patched.setattr(sys, "executable", str(script))
        assert await files.read(b"a bit", WHOLE) == Unreadable(FileProblem.BROKEN)
    assert await files.read(b"a bit more", WHOLE) == Text("a bit more")
    assert len(workers()) == 1


async def test_a_worker_that_cannot_be_started_is_a_problem_of_the_files(
    files: FileReader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert await files.read(b"text", WHOLE) == Unreadable(FileProblem.READER_FAILED)


def test_the_bot_itself_opens_no_file() -> None:
    script = "import sys, bot.app, bot.files; print(*{'PIL', 'charset_normalizer', 'pypdf'} & sys.modules.keys())"
    command = [sys.executable, "-c", script]
    loaded = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - a script of ours
    assert loaded.stdout == "\n"
