"""The sentences for people, members and operators alike: words that everybody knows, and sentences that are short."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.config import SETTINGS

ROOT = Path(__file__).parents[1]
WHOLE = (
    *("bot/texts", "bot/config", "bot/operator", "bot/network", "bot/cli.py", "bot/app.py", "bot/core/errors.py"),
    *("bot/core/learning.py", "bot/llm/error_messages.py", "bot/store/sqlite/error_messages.py"),
)
"""Where every text is read by people."""
ERRORS = {
    "BotError",
    "StoreError",
    "StoreUnusable",
    "DiscordError",
    "DiscordUnavailable",
    "ModelError",
    "InvalidValue",
    "EmptyStream",
}
DESCRIBING = {"command", "describe", "Group", "context_menu"}
LOGGING = {"debug", "info", "warning", "error", "critical", "exception"}
NEVER = {
    # A turn and a window are our words for what people call an answer and a context.
    r"\bturns?\b(?! (?:on|off)\b)": "question or answer",
    r"\bwindows?\b": "context",
    r"\banew\b|\bonce more\b": "again",
    r"\bjust now\b": "right now",
    r"\bwhoever\b|\bsomebody\b": "someone",
    r"\bwill not do\b": "must be",
    r"\bthere already\b": "already exists",
    r"\bunder way\b": "running",
    r"\bon record\b": "stored",
    r"\b(?:have|has|had) (?:me|it) (?:not|no|answer|forgotten)\b": "a verb: stop answering",
    r"\bwhom? I(?:'m| am) (?:not )?to\b": "who",
    r"\bas I am\b": "my default",
    r"\bwhat waits\b|\bwhat is remembered\b|\bwhat was asked\b": "a noun: waiting questions",
    r"\b(?:answers?|told|takes?|tells?) (?:nobody|no)\b": "don't answer anyone, accepts no",
    r"\b(?:is|are|was|were) to be\b": "will be",
    r"\bis not known\b|\bare not known\b": "could not check",
    r"\bwithout a word\b": "silently, or say what is missing",
    r"\b(?:by|for) a defect\b": "because of a bug",
    r"\bpassed over\b": "skipped",
    r"\breminded of\b": "sent with a question",
    r"\blacks?\b": "has no",
    # As Discord calls it.
    r"\bpictures?\b": "image",
}
"""Words and phrases that are ours alone, or read as translated, and what to write in their place."""
MOST_WORDS = 30


def text_of(node: ast.expr) -> str | None:
    """A literal text, with {} for what is filled in."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=parts):
            return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in parts)
    return None


def texts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The texts of more than one word in a syntax tree, docstrings left out, with their lines."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue
        text = text_of(node) if isinstance(node, ast.expr) else None
        if text is not None and " " in text.strip():
            yield getattr(node, "lineno", 0), text
        if not isinstance(node, ast.JoinedStr):
            yield from texts(node)
        else:
            for part in node.values:
                if isinstance(part, ast.FormattedValue):
                    yield from texts(part)


def called(node: ast.AST) -> str | None:
    """The name of what a call calls, without what stands before its last dot."""
    match node:
        case ast.Call(func=ast.Name(id=name) | ast.Attribute(attr=name)):
            return name
    return None


def said_to_people(path: Path, tree: ast.AST) -> Iterator[tuple[int, str]]:
    if path.relative_to(ROOT).as_posix().startswith(WHOLE):
        yield from texts(tree)
        return
    for node in ast.walk(tree):
        if called(node) in ERRORS | DESCRIBING:
            yield from texts(node)


def logged(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="log" | "_log"), attr=name)) if name in LOGGING:
                yield from texts(node)


def modules() -> list[tuple[Path, ast.AST]]:
    found = [path for path in sorted((ROOT / "bot").rglob("*.py")) if "standin" not in path.parts]
    return [(path, ast.parse(path.read_text(encoding="utf-8"))) for path in found]


def test_sentences_have_words_that_people_know() -> None:
    found, sentences = [], 0
    for path, tree in modules():
        for line, text in said_to_people(path, tree):
            sentences += 1
            found += [f"{path.name}:{line}: {text!r}: {say}" for never, say in NEVER.items() if re.search(never, text)]
    assert sentences > 500
    assert found == []


def test_the_log_has_words_that_people_know() -> None:
    found, lines = [], 0
    for path, tree in modules():
        for line, text in logged(tree):
            lines += 1
            # Here `turn 12` is the number by which the lines of one question are found.
            text = text.replace("turn %d", "%d")
            found += [f"{path.name}:{line}: {text!r}: {say}" for never, say in NEVER.items() if re.search(never, text)]
    assert lines > 70
    assert found == []


@pytest.mark.parametrize("name", SETTINGS)
def test_setting_is_explained_in_short_sentences(name: str) -> None:
    help_ = SETTINGS[name].help
    assert help_.endswith((".", "…")), help_
    assert help_[0].isupper()
    assert max(len(sentence.split()) for sentence in re.split(r"(?<=[.:]) ", help_)) <= MOST_WORDS


def test_sentences_are_short() -> None:
    found = [
        f"{path.name}:{line}: {sentence!r}"
        for path, tree in modules()
        if path.parent.name == "texts"
        for line, text in texts(tree)
        for sentence in re.split(r"(?<=[.!?:])\s", text)
        if len(sentence.split()) > MOST_WORDS
    ]
    assert found == []
