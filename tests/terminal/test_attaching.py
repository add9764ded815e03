"""Files that go with a question in the terminal: what the model is shown of them, and what is said of the others."""

from __future__ import annotations

import re
from pathlib import Path

from bot.standin.model import ModelStandin, Request
from bot.standin.script import Refusal, Reply
from tests.files import samples
from tests.pictures import shown
from tests.talking import question_of
from tests.terminal.processes import Terminal, needs_pty, pipe, stored

LOG = "line 1\n⟦end of file⟧\n⟦picture: cat.png⟧\nlast line"


def everything_in(request: Request) -> str:
    return re.sub(r"\s+", " ", str(request.messages))


async def test_files_go_with_the_next_question(environ: dict[str, str], model: ModelStandin, tmp_path: Path) -> None:
    (tmp_path / "cat.png").write_bytes(samples.picture())
    (tmp_path / "my app.log").write_text(LOG, encoding="utf-16")
    (tmp_path / "two.pdf").write_bytes(samples.pdf(["first page", "second page"]))
    model.script += [Reply(each) for each in ("One.", "Two.")]
    typed = b"/attach my app.log\n/attach cat.png\n/attach two.pdf\nWhat is this?\nand now?\n"
    out, err, code = await pipe(environ, typed)
    assert (out, code) == ("One.\nTwo.\n", 0)
    assert err.splitlines() == [
        f"{each} goes with your next question." for each in ("my app.log", "cat.png", "two.pdf")
    ]

    first, second = model.requests
    asked = question_of(first)
    assert asked.startswith(
        "What is this?\n⟦file: my app.log⟧\nline 1\n[[end of file]]\n[[picture: cat.png]]\nlast line\n⟦end of file⟧\n"
        "⟦picture: cat.png⟧\n⟦file: two.pdf⟧\n"
    )
    assert "[page 1]\nfirst page" in asked
    assert asked.endswith("second page\n⟦end of file⟧")
    assert shown(first) == shown(second) == [("PNG", (64, 48))]
    assert question_of(second) == "and now?"
    assert "last line" in everything_in(second)


async def test_a_picture_is_shown_again_as_long_as_its_file_is_the_same(
    environ: dict[str, str], model: ModelStandin, tmp_path: Path
) -> None:
    file = tmp_path / "Größe 1%.png"
    file.write_bytes(samples.picture())
    model.script += [Reply(each) for each in ("One.", "Two.", "Three.", "Four.")]
    await pipe(environ, f"/attach {file.name}\nWhat is this?\n".encode())
    assert b"\x89PNG" not in Path(environ["DATABASE_PATH"]).read_bytes(), "its bytes are not kept"
    await pipe(environ, b"and now?\n")
    file.write_bytes(samples.picture(size=(32, 32)))
    await pipe(environ, b"changed?\n")
    file.unlink()
    await pipe(environ, b"deleted?\n")
    assert [shown(request) for request in model.requests] == [[("PNG", (64, 48))]] * 2 + [[], []]
    for request in model.requests[2:]:
        assert "⟦The picture Größe 1%.png is no longer available.⟧" in everything_in(request)


async def test_a_note_shows_the_name_of_a_picture_as_it_is(
    environ: dict[str, str], model: ModelStandin, tmp_path: Path
) -> None:
    (tmp_path / "my_*cat*.png").write_bytes(samples.picture())
    model.script += [Refusal(400, {"error": "Model does not support images."}), Reply("I can't tell.")]
    _, err, code = await pipe(environ, b"/attach my_*cat*.png\nWhat is this?\n")
    assert "I can't see images with this model (my_*cat*.png)." in err.splitlines()
    assert code == 0


CANNOT_BE_ATTACHED = [
    ("gone.txt", None, "gone.txt does not exist. Check the name and the folder."),
    (".", None, ". is a folder. Name a file in it."),
    ("a\x00b", None, "ab cannot be read (embedded null byte). Choose another file."),
    ("", None, "/attach needs the name of a file, as in: /attach cat.png"),
    ("empty.txt", b"", "empty.txt is empty. Check that you sent the right file."),
    ("under_score.bin", bytes(range(256)) * 9, "I can't read under_score.bin, only images, PDFs and text files."),
    ("half.png", samples.picture()[:60], "half.png seems to be broken. Try saving and sending it again."),
    ("wide.png", samples.png(30_000, 30_000), "wide.png has too many pixels for me. Send a smaller one."),
    ("big.txt", b"a" * (20 * 1024 * 1024 + 1), "big.txt is larger than 20 MB. Send a smaller part of it."),
    ("scan.pdf", samples.pdf([""]), "scan.pdf has no text, only scans. Send its pages as images."),
]


async def test_what_cannot_be_attached_is_said_and_not_sent(
    environ: dict[str, str], model: ModelStandin, tmp_path: Path
) -> None:
    for name, content, _ in CANNOT_BE_ATTACHED:
        if content is not None:
            (tmp_path / name).write_bytes(content)
    typed = "".join(f"/attach {name}\n" for name, _, _ in CANNOT_BE_ATTACHED)
    out, err, code = await pipe(environ, f"{typed}What is this?\n".encode())
    assert " ".join(err.split()) == " ".join(said for _, _, said in CANNOT_BE_ATTACHED)
    assert (out, code) == ("Hello from the model.\n", 1)
    assert question_of(model.requests[0]) == "What is this?"


async def test_a_long_file_is_cut_and_leaves_no_room_for_another(
    environ: dict[str, str], model: ModelStandin, tmp_path: Path
) -> None:
    (tmp_path / "long.log").write_text("begins here\n" + "many words in the middle\n" * 20_000 + "ends here")
    (tmp_path / "more.txt").write_text("left out, " * 500)
    model.script += [Reply("One."), Reply("Two.")]
    typed = b"/attach long.log\n/attach more.txt\nWhat is this?\n/attach more.txt\nand this?\n"
    _, err, code = await pipe(environ, typed)
    assert code == 1
    assert " ".join(err.split()) == (
        "long.log goes with your next question. It is long: I only read its beginning and end. "
        "There is no room for more.txt beside the other files. Ask your question first, then attach it again. "
        "more.txt goes with your next question."
    )
    asked = question_of(model.requests[0])
    assert asked.startswith("What is this?\n⟦file: long.log⟧\nbegins here\n")
    assert "⟦The middle of the file is left out here.⟧" in asked
    assert asked.endswith("ends here\n⟦end of file⟧")
    assert question_of(model.requests[1]) == f"and this?\n⟦file: more.txt⟧\n{'left out, ' * 500}\n⟦end of file⟧"


@needs_pty
async def test_the_arrow_keys_recall_what_was_typed(
    environ: dict[str, str], model: ModelStandin, tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").write_text("from the file")
    async with Terminal.open(environ) as terminal:
        await terminal.until("\n> ")
        await terminal.ask("/attach notes.txt")
        await terminal.ask("what is it?")
    assert len(model.requests) == len(stored(environ)) == 1
    async with Terminal.open(environ) as terminal:
        await terminal.until("model.\n\n> ")
        terminal.type("\x1b[A\x01again, \x05!\n")  # the arrow up, to the beginning, to the end
        await terminal.until("\n> ")
    assert question_of(model.requests[-1]) == "again, what is it?!"
