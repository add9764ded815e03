"""A chat on the standard streams, from its opening to its end."""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping
from typing import TextIO

from bot.core.service import ConversationService
from bot.core.turns import Conversation, TurnState
from bot.store import Store
from bot.terminal.interrupts import Interrupts, without_carets
from bot.terminal.keyboard import Keyboard
from bot.terminal.output import Output, Problems
from bot.terminal.session import Session
from bot.terminal.text import plain, shortened
from bot.texts import terminal as phrases

_RECALLED = 200
"""Earlier prompts that the arrow keys recall."""


async def chat(
    store: Store,
    conversations: ConversationService,
    name: str,
    model: str | None,
    *,
    temporary: bool,
    environ: Mapping[str, str],
) -> int:
    """Hold the named conversation over the standard streams until its end. Returns the exit code.

    `model` is the model's name, or None for the demo. `environ` may hold TERM and NO_COLOR.
    """
    # A stream is None where the process was started without it.
    stdin, stdout, stderr = (stream or io.StringIO() for stream in (sys.stdin, sys.stdout, sys.stderr))
    for stream in (stdin, stdout, stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    answers, errors = Output(stdout, environ), Output(stderr, environ)
    at_keyboard = stdin.isatty()
    talk = answers if at_keyboard and answers.terminal else errors
    with Problems(errors) as problems, Interrupts() as interrupts:
        session = Session(store, conversations, Conversation("terminal", name), answers, talk, problems, interrupts)
        try:
            if not at_keyboard:
                return await _take_lines(stdin, session, interrupts)
            keyboard = Keyboard(talk, interrupts, edits=answers.terminal, escapes=answers.escapes)
            with without_carets():
                await _converse(session, keyboard, talk, None if temporary else plain(name), model)
        finally:
            await session.close()
        return 0


async def _take_lines(stdin: TextIO, session: Session, interrupts: Interrupts) -> int:
    """Answer each line of the input. Returns the exit code."""
    await session.resume()
    while not session.over:
        with interrupts.reading():
            line = stdin.readline()
        if not line:
            break
        await session.take(line.strip())
        if interrupts.count:
            raise KeyboardInterrupt
    return int(session.failed)


async def _converse(session: Session, keyboard: Keyboard, talk: Output, name: str | None, model: str | None) -> None:
    """Chat with a person at a terminal, after showing where the conversation stands."""
    remembered, last = await session.resume()
    talk.say(phrases.opening(name, model, remembered))
    if model is None:
        talk.say(phrases.REAL_MODEL)
    if last is not None:
        talk.write("\n")
        shown = [f"> {last.prompt}", last.reply] if last.reply else [f"> {last.prompt}"]
        talk.say("\n".join(shortened(line, talk.columns) for line in shown))
        if last.state is TurnState.INTERRUPTED:
            talk.say(phrases.CUT_OFF)
    talk.write("\n")
    for prompt in await session.prompts(_RECALLED):
        keyboard.remember(prompt)
    while not session.over and (text := keyboard.ask()) is not None:
        if not text.strip():
            continue
        await session.take(text.strip())
        if session.over:
            break
        talk.write("\n")
        if session.empty:
            keyboard.forget()
