"""What a person types: prompts of one line or several, edited, recalled and pasted."""

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
"""Seconds within which the next line of something pasted is there, and no typed one."""


class Keyboard:
    """Reads prompts from a person at a terminal, with line editing where Python has readline.

    It reads in the main thread, though that holds up the event loop: between turns nothing needs the loop, and only
    there do `input`, readline and Ctrl-C work together; a thread that reads could not be ended either.
    """

    def __init__(self, talk: Output, interrupts: Interrupts, *, edits: bool, escapes: bool) -> None:
        self._talk = talk
        self._interrupts = interrupts
        self._edits = edits
        self._left = False
        self._readline = _readline() if edits else None
        # GNU readline, which Python keeps from it, takes a paste of several lines as one, to be edited and sent.
        self._takes_pastes = self._readline is not None and escapes and "GNU" in (self._readline.__doc__ or "")
        if self._readline and self._takes_pastes:
            self._readline.parse_and_bind("set enable-bracketed-paste on")

    def remember(self, prompt: str) -> None:
        """Let the arrow keys bring it back."""
        if self._readline:
            self._readline.add_history(plain(prompt))

    def forget(self) -> None:
        """Let the arrow keys bring nothing back."""
        if self._readline:
            self._readline.clear_history()

    def ask(self) -> str | None:
        """What the person says next, maybe in several lines. None: they leave."""
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
        if not self._edits:
            self._talk.write(prompt)
            prompt = ""
        with self._interrupts.reading():
            return input(prompt)


def _more_waits() -> bool:
    """Whether the next line is there already, as when several are pasted."""
    if sys.platform == "win32":
        import msvcrt

        time.sleep(_PASTED)
        return msvcrt.kbhit()
    return bool(select.select([sys.stdin], [], [], _PASTED)[0])


def _readline() -> ModuleType | None:
    # Not at the top: merely importing it writes an escape sequence to some terminals.
    try:
        import readline
    except ImportError:  # on Windows, where the console edits lines
        return None
    return readline
