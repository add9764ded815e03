"""What is taken from a file of messages, and what is said of a file that has none."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from bot.core.errors import TranscriptError
from bot.core.records import Exchange, Transcript
from bot.transcripts.reading import MOST_BYTES, read_transcript, transcript_of

SYSTEM = {"role": "system", "content": "Be brief."}
QUESTION = {"role": "user", "content": "Why?"}
ANSWER = {"role": "assistant", "content": "Because."}
SAID = Transcript("Be brief.", [Exchange("Why?", "Because.")])


def encoded(messages: Any) -> bytes:
    return json.dumps(messages, ensure_ascii=False).encode()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_encodings(encoding: str) -> None:
    content = json.dumps([QUESTION, {"role": "assistant", "content": "Größe 😀"}], ensure_ascii=False).encode(encoding)
    assert transcript_of(content, "f") == Transcript(None, [Exchange("Why?", "Größe 😀")])


@pytest.mark.parametrize(
    ("messages", "transcript"),
    [
        ([SYSTEM, QUESTION, ANSWER], SAID),
        ([{**SYSTEM, "role": "developer"}, QUESTION, ANSWER], SAID),
        ([SYSTEM], Transcript("Be brief.", [])),
        ([QUESTION], Transcript(None, [Exchange("Why?", "")])),
        ([QUESTION, ANSWER, QUESTION], Transcript(None, [Exchange("Why?", "Because."), Exchange("Why?", "")])),
        (
            # What the SDK's message.model_dump() has beside the text.
            [SYSTEM, {**QUESTION, "name": "bo"}, {**ANSWER, "refusal": None, "tool_calls": None, "annotations": []}],
            SAID,
        ),
        (
            [
                {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "input_text", "text": "b\n"}]},
                {"role": "assistant", "content": [{"type": "output_text", "text": "c"}]},
            ],
            Transcript(None, [Exchange("a\nb\n", "c")]),
        ),
        (
            [{"role": "user", "content": " \0\r\n\t⟦@1⟧ "}, {"role": "assistant", "content": "\ufeff\u2028"}],
            Transcript(None, [Exchange(" \0\r\n\t⟦@1⟧ ", "\ufeff\u2028")]),
        ),
    ],
)
def test_messages(messages: Any, transcript: Transcript) -> None:
    assert transcript_of(encoded(messages), "f") == transcript
    assert transcript_of(json.dumps(messages).encode(), "f") == transcript


FORM = '[{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}, …]'
NO_LIST = f"f is not a list of messages. It must be: {FORM}"
NOT_ONLY_TEXT = "Message 1 in f is not only text. Images, files and tool calls can't be imported; remove them."


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", f"f is not valid JSON (line 1, column 1). It must be: {FORM}"),
        (b'[\n{"role": "user" "content": 1}]', f"f is not valid JSON (line 2, column 17). It must be: {FORM}"),
        (b"# A diary", f"f is not valid JSON (line 1, column 1). It must be: {FORM}"),
        (b"\x89PNG\r\n\x1a\n\xff", "f is not text in UTF-8 or UTF-16. Save it again as UTF-8."),
        (b"[" * 100_000, NO_LIST),
        (b"[" + b"9" * 5000 + b"]", NO_LIST),
        (b'{"messages": []}', NO_LIST),
        (b'"messages"', NO_LIST),
        (b'["Why?"]', NO_LIST),
        (b"[]", "f has no messages. Choose another file."),
        ([{"content": "Why?"}], 'Message 1 in f has no role. It must be "system", "user" or "assistant".'),
        ([{"role": 1, "content": "a"}], 'Message 1 in f has no role. It must be "system", "user" or "assistant".'),
        (
            [QUESTION, {"role": "tool\x1b[2J" * 9, "content": "a"}],
            'Message 2 in f has the role \'tool\\x1b[2Jtool\\x1b[2Jtool\'. It must be "system", "user" or "assistant".',
        ),
        ([{"role": "user"}], NOT_ONLY_TEXT),
        ([{"role": "user", "content": None}], NOT_ONLY_TEXT),
        ([{"role": "user", "content": {"text": "a"}}], NOT_ONLY_TEXT),
        ([{"role": "user", "content": ["a"]}], NOT_ONLY_TEXT),
        ([{"role": "user", "content": [{"type": "text", "text": 1}]}], NOT_ONLY_TEXT),
        (
            [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {}}]}],
            NOT_ONLY_TEXT,
        ),
        ([{"role": "user", "content": []}], "Message 1 in f is empty. Remove it, and its question or answer too."),
        (
            [QUESTION, {**ANSWER, "content": ""}],
            "Message 2 in f is empty. Remove it, and its question or answer too.",
        ),
        (
            b'[{"role": "user", "content": "\\ud83d"}]',
            "Message 1 in f has half a character (a lone surrogate). Remove or replace it.",
        ),
        (
            [SYSTEM, ANSWER, QUESTION],
            "Message 2 in f is an answer without a question. Remove it, or put a question before it.",
        ),
        (
            [QUESTION, ANSWER, ANSWER],
            "Messages 2 and 3 in f are both answers. Questions and answers must alternate.",
        ),
        (
            [SYSTEM, QUESTION, QUESTION],
            "Messages 2 and 3 in f are both questions. Questions and answers must alternate.",
        ),
        ([QUESTION, SYSTEM], "Message 2 in f is a system message. Only the first message can be one."),
        ([SYSTEM, SYSTEM], "Message 2 in f is a system message. Only the first message can be one."),
    ],
)
def test_no_transcript(content: Any, sentence: str) -> None:
    with pytest.raises(TranscriptError) as error:
        transcript_of(content if isinstance(content, bytes) else encoded(content), "f")
    assert str(error.value) == sentence


def test_files_up_to_16_mib(tmp_path: Path) -> None:
    file = tmp_path / "messages.json"
    content = encoded([SYSTEM, QUESTION, ANSWER])
    file.write_bytes(content + b" " * (MOST_BYTES - len(content)))
    assert read_transcript(file) == SAID
    with file.open("ab") as more:
        more.write(b" ")
    with pytest.raises(TranscriptError) as error:
        read_transcript(file)
    assert str(error.value) == f"{file} is too large. A file may have 16 MiB. Remove older messages from it."


def test_no_file(tmp_path: Path) -> None:
    (tmp_path / "messages.json").write_bytes(b"")
    found = {
        "nowhere.json": "does not exist. Check the name and the folder.",
        ".": "is a folder. Name a file in it.",
        "messages.json/x": "cannot be read (Not a directory). Choose another file.",
        "a\0b": "cannot be read (embedded null byte). Choose another file.",
    }
    if sys.platform != "win32":
        os.mkfifo(tmp_path / "pipe")
        found["pipe"] = "is not a regular file. Save the messages to a file first."
    for name, sentence in found.items():
        with pytest.raises(TranscriptError) as error:
            read_transcript(tmp_path / name)
        assert str(error.value) == f"{tmp_path / name} {sentence}"
