"""The commands and their arguments; what each one does is in `bot.app`.

Exit codes: 0 is success. 1 is a failure, explained in one sentence. 2 is a mistake in the settings or the arguments.
130 is Ctrl-C.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import re
import sys
import tomllib
from collections.abc import Callable, Coroutine, Mapping, Sequence
from difflib import get_close_matches
from importlib import metadata
from pathlib import Path
from typing import NoReturn

from bot import app, config
from bot.config import parsers
from bot.core.errors import BotError, SettingsError
from bot.core.turns import Conversation
from bot.operator.printing import wrapped
from bot.store.databases import DatabaseServer

_OPTIONS = ("-h", "--help", "--help-settings", "--version")
"""The options that need no command."""
_DISTRIBUTION = "parley-bot"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the process's exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Names of files and conversations may have characters that the terminal's encoding has not.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        options = _parsed(sys.argv[1:] if arguments is None else arguments)
        command: Callable[[argparse.Namespace], Coroutine[None, None, int]] = options.command
        return asyncio.run(command(options))
    except SettingsError as error:
        print(wrapped(str(error), sys.stderr), file=sys.stderr)
        return 2
    except BotError as error:
        print(wrapped(str(error), sys.stderr), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of a pipe, such as `head`, has left. Python would write a traceback when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


_WHICH = "a name in the terminal, or the id of a channel, a thread or a direct message on Discord"


class _Help(argparse.HelpFormatter):
    """The help text with room for the longest command: argparse measures the names without their indent."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog)
        self._action_max_length = 18

    def _format_action(self, action: argparse.Action) -> str:
        text = super()._format_action(action)
        # The list of commands needs no line of its own below its title.
        return text.partition("\n")[2] if action.nargs == argparse.PARSER else text


class _Parser(argparse.ArgumentParser):
    """A parser whose errors say where to read on, in place of a summary of all that can be written."""

    def error(self, message: str) -> NoReturn:
        stop = "" if message.endswith((".", "?")) else "."
        self.exit(2, wrapped(f"{self.prog}: {message}{stop}\nSee `{self.prog} --help`.", sys.stderr) + "\n")


class _Show(argparse.Action):
    """An option that prints a text and ends the process."""

    def __init__(self, option_strings: Sequence[str], dest: str, text: Callable[[], str], help: str) -> None:  # noqa: A002 -- argparse's name
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, help=help)
        self._text = text

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print(self._text(), flush=True)
        parser.exit()


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """The command with its arguments. Ends the process where they are wrong."""
    parser, commands = _parser()
    first = arguments[0] if arguments else "run"
    # Of these mistakes argparse names a later argument, or lists all commands.
    if first.startswith("-") and first not in _OPTIONS:
        example = f"`{parser.prog} playground --port 8766`"
        parser.error(f"there is no option {first} here; the options of a command come after it, as in {example}.")
    if not first.startswith("-") and first not in commands:
        like = get_close_matches(first, commands, n=1)
        parser.error(f"there is no command {first!r}{f'; did you mean {like[0]}?' if like else '.'}")
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        commands[first].error(f"{' '.join(unknown)!r} means nothing here.")
    return options


def _parser() -> tuple[argparse.ArgumentParser, Mapping[str, argparse.ArgumentParser]]:
    """The parser, and that of each command by its name."""
    parser = _Parser(
        prog="parley" if Path(sys.argv[0]).stem == "parley" else "python -m bot",
        description="A chatbot for Discord that remembers. Without a command it runs the bot.",
        formatter_class=_Help,
        add_help=False,
    )
    parser.add_argument(*_OPTIONS[:2], action="help", help="show this; after a command, show its options")
    parser.add_argument(_OPTIONS[2], action=_Show, text=config.listing, help="show all settings")
    parser.add_argument(_OPTIONS[3], action=_Show, text=_version, help="show the version")
    parser.set_defaults(command=lambda _: app.run_bot())
    commands = parser.add_subparsers(title="commands", metavar="[COMMAND]")

    run = commands.add_parser("run", help="run the bot on Discord (the default)")
    run.set_defaults(command=lambda _: app.run_bot())

    chat = commands.add_parser("chat", help="chat here in the terminal")
    chat.add_argument(
        "--conversation", metavar="NAME", default="default", help="the conversation to continue (default: default)"
    )
    chat.add_argument("--temporary", action="store_true", help="keep this conversation in memory only")
    chat.set_defaults(command=lambda given: app.chat(given.conversation, temporary=given.temporary))

    playground = commands.add_parser("playground", help="try the whole bot in a browser, without an account")
    playground.add_argument("--port", type=_port, metavar="N", help="the port of the page (default: 8765)")
    playground.add_argument(
        "--database",
        type=_database,
        metavar="FILE",
        default="data/playground.db",
        help="the file for its memory (default: data/playground.db)",
    )
    playground.add_argument("--no-open", action="store_true", help="do not open a browser")
    playground.set_defaults(
        command=lambda given: app.run_playground(given.port, given.database, open_browser=not given.no_open)
    )

    check = commands.add_parser("check", help="check the set-up and say what to do")
    check.set_defaults(command=lambda _: app.check())

    health = commands.add_parser("health", help="check that the running bot is healthy")
    health.add_argument(
        "--all", action="store_true", help="of all processes on the DATABASE_URL, also on other computers"
    )
    health.set_defaults(command=lambda given: app.report_health(of_all=given.all))

    backup = commands.add_parser("backup", help="copy the database; the bot may be running")
    backup.add_argument("file", metavar="FILE", type=Path, help="the copy, a file that does not exist yet")
    backup.set_defaults(command=lambda given: app.copy_database(given.file))

    compact = commands.add_parser("compact", help="shrink the database file; the bot must be stopped")
    compact.set_defaults(command=lambda _: app.compact_database())

    move = commands.add_parser("move", help="move everything from the database file to PostgreSQL")
    move.add_argument(
        "--to",
        metavar="URL",
        type=_database_server,
        required=True,
        help="an empty database: postgresql://USER@HOST/DATABASE; the password may be in PGPASSWORD",
    )
    move.set_defaults(command=lambda given: app.move_database(given.to))

    conversations = commands.add_parser("conversations", help="list all conversations: their size, place and dates")
    conversations.set_defaults(command=lambda _: app.list_conversations())

    export = commands.add_parser("export", help="write a conversation to a file, as JSON or Markdown")
    export.add_argument("conversation", metavar="CONVERSATION", type=_conversation, help=_WHICH)
    export.add_argument("file", metavar="FILE", type=Path, nargs="?", help="a new file (default: standard output)")
    export.add_argument(
        "--format",
        choices=("json", "markdown"),
        help="json is the list of messages for a model, markdown is for reading (default: by the file's name)",
    )
    export.set_defaults(command=lambda given: app.export_conversation(given.conversation, given.file, given.format))

    import_ = commands.add_parser("import", help="read a conversation from a JSON file of messages")
    import_.add_argument("file", metavar="FILE", type=Path, help='a list of {"role": …, "content": …}, up to 16 MiB')
    import_.add_argument("conversation", metavar="CONVERSATION", type=_conversation, help=_WHICH)
    import_.set_defaults(command=lambda given: app.import_conversation(given.file, given.conversation))

    usage = commands.add_parser("usage", help="show tokens and their cost by day, server and person")
    usage.add_argument("--days", type=_days, metavar="N", default=30, help="how far back, 1 to 90 (default: 30)")
    usage.set_defaults(command=lambda given: app.report_usage(given.days))

    forget = commands.add_parser("forget", help="delete everything stored about a person")
    forget.add_argument("user_id", metavar="USER_ID", type=_user_id, help="the person's id on Discord")
    forget.add_argument("--yes", action="store_true", help="delete without asking first")
    forget.set_defaults(command=lambda given: app.forget(given.user_id, confirmed=given.yes))
    return parser, commands.choices


def _version() -> str:
    """The name, and the version in pyproject.toml: of a clone or an image, else of the installed package."""
    try:
        project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    except (OSError, ValueError, KeyError):
        project = {}
    # Among installed packages, the file may be one that another of them has left there.
    number = project["version"] if project.get("name") == _DISTRIBUTION else metadata.version(_DISTRIBUTION)
    return f"Parley {number}"


def _port(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) < 6 and int(text) < 2**16:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not valid; write a number up to 65535, or 0 for any free port")


def _database(text: str) -> Path:
    try:
        return parsers.database_path(text)
    except parsers.InvalidValue as mistake:
        raise argparse.ArgumentTypeError(str(mistake)) from None


def _database_server(text: str) -> DatabaseServer:
    try:
        return DatabaseServer(parsers.database_url(text).reveal())
    except parsers.InvalidValue as mistake:
        raise argparse.ArgumentTypeError(str(mistake)) from None


def _days(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= 90:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not valid; write a number of days from 1 to 90")


def _conversation(text: str) -> Conversation:
    """A conversation as `conversations` lists it, or just a name in the terminal."""
    platform, colon, channel = text.partition(":")
    if colon and platform in ("discord", "terminal"):
        return Conversation(platform, channel)
    return Conversation("discord" if re.fullmatch(r"[0-9]{17,19}", text) else "terminal", text)


def _user_id(text: str) -> int:
    if re.fullmatch(r"[0-9]{17,19}", text) and int(text) < 2**63:
        return int(text)
    raise argparse.ArgumentTypeError(
        f"{text!r} is not an id; write 17 to 19 digits. To get them, turn on Developer Mode in Discord (User Settings,"
        " Advanced), right-click the person and choose Copy User ID"
    )
