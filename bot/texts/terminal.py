"""The sentences of the chat in the terminal."""

from __future__ import annotations

from bot import texts
from bot.core.turns import FailureReason, Outcome
from bot.files import FileProblem
from bot.markdown.escaping import unescape
from bot.texts.files import NO_PDF_READER, unread

REAL_MODEL = "For a real model, set OPENAI_API_KEY or OPENAI_BASE_URL in .env."
HELP = """\
/reset   forget this conversation
/attach  send a file with your next question, as in: /attach cat.png
/save    write this conversation to messages.json, or to a file you name
/load    read a conversation from a file, as in: /load messages.json
/help    show this
/quit    leave, as Ctrl-D does
//text   say "/text"
\\        at the end of a line: more follows
Ctrl-C   stop an answer; twice, leave"""
WAITING = "Waiting for the model. Ctrl-C stops it."
WAS_REASONING = "That was the model thinking. Its answer:"
ONCE_MORE = "Press Ctrl-C again to leave."
CUT_OFF = "I was interrupted there. Ask again if you still need it."
CANNOT_REACH_PROVIDER = "I can't reach my AI provider."
NO_FILE_TO_ATTACH = "/attach needs the name of a file, as in: /attach cat.png"
CANNOT_WRITE = "I can't write my answers."

SPEAKER = "Parley"
"""Stands over each reply."""


def note(outcome: Outcome) -> str | None:
    """The note after a reply, or None. The person at the terminal runs the bot, so no owner has to be told."""
    if outcome.failure is FailureReason.CONFIGURATION:
        return CANNOT_REACH_PROVIDER
    said = texts.note(outcome)
    return None if said is None else unescape(texts.full_size(said))


def opening(name: str | None, model: str | None, questions: int) -> str:
    """The first line of a chat. `name` is None for a temporary conversation, `model` for the demo."""
    title = "A temporary conversation" if name is None else f"Conversation “{name}”"
    remembered = f", {texts.questions(questions)} remembered" if questions else ""
    return f"{title} with {model or 'the built-in offline demo'}{remembered}. /help shows what you can do."


def forgotten(questions: int) -> str:
    """The answer to a reset."""
    what = texts.questions(questions)
    return f"I've forgotten this conversation: {what}." if questions else texts.NOTHING_TO_FORGET


def attached(name: str, *, whole: bool) -> str:
    """The answer to /attach."""
    return f"{name} goes with your next question.{'' if whole else ' It is long: I only read its beginning and end.'}"


def not_attached(problem: FileProblem, name: str) -> str:
    """The answer to an /attach of a file that cannot be read."""
    return NO_PDF_READER if problem is FileProblem.NO_PDF_READER else unread(problem, name)


def no_room(name: str) -> str:
    """The answer to an /attach of one file too many."""
    return f"There is no room for {name} beside the other files. Ask your question first, then attach it again."


def no_regular_file(file: str) -> str:
    """The answer to an /attach of a pipe or a device."""
    return f"{file} is not a regular file. Save what you want to show to a file first."


def unknown_command(word: str) -> str:
    """The answer to a slash with a word that is no command."""
    return f"There is no command {word}. /help shows all. To send text that starts with a slash, type //."
