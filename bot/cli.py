"""The commands and their arguments; what each one does is in `bot.app`.

Exit codes: 0 is success. 1 is a failure, explained in one sentence. 2 is a mistake in the settings or the arguments.
130 is Ctrl-C.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path

from bot import app, config
from bot.core.errors import BotError, SettingsError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return the process's exit code."""
    options = _parser().parse_args(arguments)
    command: Callable[[argparse.Namespace], Coroutine[None, None, int]] = options.command
    try:
        return asyncio.run(command(options))
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    except BotError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of a pipe, such as `head`, has left. Python would write a traceback when it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


class _Help(argparse.RawDescriptionHelpFormatter):
    """The help text with room for the longest command: argparse measures the names without their indent."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog)
        self._action_max_length = 18


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="parley" if Path(sys.argv[0]).stem == "parley" else "python -m bot",
        description="A chatbot for Discord that remembers. Without a command it runs the bot.",
        epilog=f"settings, from the environment or from .env:\n{config.help_text()}",
        formatter_class=_Help,
    )
    parser.set_defaults(command=lambda _: app.run_bot())
    commands = parser.add_subparsers(title="commands", metavar="[COMMAND]")

    run = commands.add_parser("run", help="run the bot on Discord (the default)")
    run.set_defaults(command=lambda _: app.run_bot())

    chat = commands.add_parser("chat", help="chat here in the terminal")
    chat.add_argument("--conversation", metavar="NAME", default="default", help="which conversation to go on with")
    chat.add_argument("--temporary", action="store_true", help="keep this conversation in memory only")
    chat.set_defaults(command=lambda given: app.chat(given.conversation, temporary=given.temporary))

    playground = commands.add_parser("playground", help="try the whole bot in a browser, without an account")
    playground.add_argument("--port", type=_port, metavar="N", default=8765, help="where the page is (default: 8765)")
    playground.add_argument(
        "--database",
        type=Path,
        metavar="FILE",
        default=Path("data/playground.db"),
        help="the file that remembers (default: data/playground.db)",
    )
    playground.add_argument("--no-open", action="store_true", help="open no browser")
    playground.set_defaults(
        command=lambda given: app.run_playground(given.port, given.database, open_browser=not given.no_open)
    )

    check = commands.add_parser("check", help="go through the set-up and say what to do")
    check.set_defaults(command=lambda _: app.check())

    health = commands.add_parser("health", help="check that the running bot is healthy")
    health.set_defaults(command=lambda _: app.report_health())

    backup = commands.add_parser("backup", help="copy the database, also while the bot runs")
    backup.add_argument("file", metavar="FILE", type=Path, help="the copy, which must not be there yet")
    backup.set_defaults(command=lambda given: app.copy_database(given.file))

    compact = commands.add_parser("compact", help="shrink the database after deletions, while the bot is stopped")
    compact.set_defaults(command=lambda _: app.compact_database())

    conversations = commands.add_parser(
        "conversations", help="list what is remembered: how much, where, and since when"
    )
    conversations.set_defaults(command=lambda _: app.list_conversations())

    usage = commands.add_parser("usage", help="report the tokens used, by day, server and person, with their cost")
    usage.add_argument("--days", type=_days, metavar="N", default=30, help="how far back, 1 to 90 (default: 30)")
    usage.set_defaults(command=lambda given: app.report_usage(given.days))

    forget = commands.add_parser("forget", help="delete everything stored about a person, also while the bot runs")
    forget.add_argument("user_id", metavar="USER_ID", type=_user_id, help="the person's id on Discord")
    forget.add_argument("--yes", action="store_true", help="do not ask first")
    forget.set_defaults(command=lambda given: app.forget(given.user_id, confirmed=given.yes))
    return parser


def _port(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) < 6 and int(text) < 2**16:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no port; write a number up to 65535; 0 is any free one")


def _days(text: str) -> int:
    if text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= 90:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not valid; write a number of days from 1 to 90")


def _user_id(text: str) -> int:
    if re.fullmatch(r"[0-9]{17,19}", text) and int(text) < 2**63:
        return int(text)
    raise argparse.ArgumentTypeError(
        f"{text!r} is no id; write the 17 to 19 digits that Discord copies with a right click on the person once"
        " Developer Mode is on (User Settings, Advanced)"
    )
