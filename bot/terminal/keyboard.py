"""The prompts that a person types: one line or several, edited, recalled or pasted."""

from __future__ import annotations

import select
import sys
import time
from types import ModuleType

from bot.terminal.interrupts import Interrupts
from bot.terminal.output import Output
from bot.terminal.text import plain
from bot.texts import terminal as phrases

_PASTED = 0.02
"""Seconds within which the next line of a paste arrives. No typed line is that quick."""


class Keyboard:
    """Reads prompts from a person at a terminal, with line editing where Python has readline.

    It reads in the main thread and blocks the event loop, which nothing needs between turns. Only in the main thread do
    `input`, readline and Ctrl-C work together, and a reading thread could not be ended.
    """

    def __init__(self, talk: Output, interrupts: Interrupts, *, edits: bool, escapes: bool) -> None:
        self._talk = talk
        self._interrupts = interrupts
        self._edits = edits
        self._left = False
        self._readline = _readline() if edits else None
        # With bracketed paste, GNU readline takes a paste of several lines as one prompt. Python turns it off.
        self._takes_pastes = self._readline is not None and escapes and "GNU" in (self._readline.__doc__ or "")
        if self._readline and self._takes_pastes:
            self._readline.parse_and_bind("set enable-bracketed-paste on")

    def remember(self, prompt: str) -> None:
        """Add a prompt to what the arrow keys recall."""
        if self._readline:
            self._readline.add_history(plain(prompt))

    def forget(self) -> None:
        """Clear what the arrow keys recall."""
        if self._readline:
            self._readline.clear_history()

    def ask(self) -> str | None:
        """Read the next prompt, of one line or several. None: the person leaves."""
        lines: list[str] = []
        while not self._left:
            try:
                lines.append(self._line("… " if lines else "> "))
            except EOFError:
                self._talk.write("\n")
                self._left = True
                break
            except KeyboardInterrupt:
                self._talk.write("\n")
                if not lines and not (self._readline and self._readline.get_line_buffer()):
                    if self._interrupts.count:
                        return None
                    self._talk.say(phrases.ONCE_MORE)
                self._interrupts.count += 1
                lines.clear()
                continue
            if lines[-1].endswith("\\"):
                lines[-1] = lines[-1][:-1]
            elif self._takes_pastes or not _more_waits():
                break
        self._interrupts.count = 0
        return "\n".join(lines) if lines else None

    def _line(self, prompt: str) -> str:
        if self._talk.styles:
            # Readline is told with the characters around an escape sequence that it has no width.
            opened, closed = ("\x01", "\x02") if self._readline else ("", "")
            prompt = f"{opened}\x1b[1;32m{closed}{prompt}{opened}\x1b[0m{closed}"
        if not self._edits:
            self._talk.write(prompt)
            prompt = ""
        with self._interrupts.reading():
            return input(prompt)


def _more_waits() -> bool:
    """Whether the next line has arrived already, as in a paste of several lines."""
    if sys.platform == "win32":
        import msvcrt

        time.sleep(_PASTED)
        return msvcrt.kbhit()
    return bool(select.select([sys.stdin], [], [], _PASTED)[0])


def _readline() -> ModuleType | None:
    # Imported here and not at the top, because the import writes an escape sequence to some terminals.
    try:
        import readline
    except ImportError:  # on Windows, where the console edits lines
        return None
    return readline
