"""Lists what in the bot is larger than usual, each with its reason: files, classes, constructors.

    python -m benchmarks.sizes

A size is a hint and no goal, so nothing depends on this list: what has a good reason to be large is not split for it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
MAX_LINES = 400
MAX_ATTRIBUTES = 12
MAX_METHODS = 20
MAX_PARAMETERS = 7

_CONFIGURABLE = "a stand-in: each parameter is one thing that a test can make go wrong"
REASONS = {
    "bot/config/settings.py: Settings": "one attribute for each setting of the operator",
    "bot/core/service.py: ConversationService": "the one place that knows the whole way of a turn",
    "bot/core/turns.py: Turn": "the columns of one row",
    "bot/core/turns.py: Outcome": "one attribute for each thing that is told, charged or logged of an attempt",
    "bot/core/attempt.py: ActiveAttempt": "what changes while one attempt is under way",
    "bot/core/log_entries.py: TurnLogEntry": "one attribute for each field of the log's line",
    "bot/discord_bot/client.py: ParleyClient": "one method for each of Discord's events, each one hop",
    "bot/markdown/inline.py": "the marks inside a line, which decide about each other",
    "bot/standin/people.py: People": "one method for each thing that people do on Discord",
    "bot/markdown/blocks.py: _Blocks": "the state of that machine",
    "bot/markdown/inline.py: Inline": "one method for each mark",
    "bot/playground/acts.py: Acts": "one method for each thing that a page can ask for",
    "bot/playground/tabs.py: Tab": "what one page has open, and what it was last sent of it",
    "bot/standin/channel_routes.py: ChannelRoutes": "one method for each of Discord's routes",
    "bot/standin/directory.py: Directory": "one method for each of Discord's objects that can be found",
    "bot/standin/interactions.py: Interaction": "the fields of Discord's own object",
    "bot/store/store.py: Store": "one attribute for each part of the database",
    "bot/terminal/wrapping.py: Wrapper": "the state of one line that is being wrapped",
    "bot/markdown/blocks.py": "one state machine over the lines of a block",
    "bot/standin/entities.py: Channel": "the fields of Discord's own object",
    "bot/standin/entities.py: Message": "the fields of Discord's own object",
    "bot/standin/gateway.py: Gateway": "one connection's protocol, with the faults that a test can ask for",
    "bot/standin/model.py: ModelStandin": _CONFIGURABLE,
    "bot/standin/payloads.py": "one function for each of Discord's objects",
    "bot/standin/rest.py: Exchange": "one attribute for each part of a call that the tests or the page show",
    "bot/standin/script.py: Reply": "one attribute for each thing that can go wrong with a reply",
    "bot/standin/server.py: DiscordStandin": _CONFIGURABLE,
}
"""Why something is large, by its file and, for a class, its name."""


@dataclass(frozen=True, slots=True)
class Finding:
    place: str
    size: str


def main() -> None:
    findings = [finding for path in sorted((ROOT / "bot").rglob("*.py")) for finding in large(path)]
    for finding in findings:
        print(f"{finding.place}: {finding.size}\n    {REASONS.get(finding.place, '(no reason is given)')}")
    for place in sorted(REASONS.keys() - {finding.place for finding in findings}):
        print(f"{place}: is no longer large; its reason can go")


def large(path: Path) -> Iterator[Finding]:
    """What in a file is over a limit."""
    text = path.read_text(encoding="utf-8")
    place = path.relative_to(ROOT).as_posix()
    if (lines := text.count("\n")) > MAX_LINES:
        yield Finding(place, f"{lines} lines")
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.ClassDef):
            continue
        counts = {
            "attributes": (len(attributes(node)), MAX_ATTRIBUTES),
            "methods": (len(methods(node)), MAX_METHODS),
            "constructor parameters": (parameters(node), MAX_PARAMETERS),
        }
        over = [f"{count} {what}" for what, (count, limit) in counts.items() if count > limit]
        if over:
            yield Finding(f"{place}: {node.name}", ", ".join(over))


def methods(node: ast.ClassDef) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [each for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)]


def attributes(node: ast.ClassDef) -> set[str]:
    """The names that instances have: fields of the class's body, and what methods assign to `self`."""
    found = {
        each.target.id for each in node.body if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
    }
    for each in ast.walk(node):
        match each:
            case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                found.add(name)
    return found


def parameters(node: ast.ClassDef) -> int:
    """The parameters of the constructor that is written out; that of a dataclass follows from its attributes."""
    for method in methods(node):
        if method.name == "__init__":
            given = method.args
            return len(given.posonlyargs) + len(given.args) + len(given.kwonlyargs) - 1
    return 0


if __name__ == "__main__":
    main()
