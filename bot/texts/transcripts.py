"""The sentences on conversations as files, for whoever runs the bot or sits at the terminal."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from bot import texts
from bot.core.turns import Conversation

PERSONA = "**Persona**"
NO_ANSWER = "*No answer.*"
UNFINISHED = "*The answer ends here. It is unfinished.*"

_FORM = '[{"role": "user", "content": "…"}, {"role": "assistant", "content": "…"}, …]'


def exported(questions: int, file: str) -> str:
    """The answer to an export to a file."""
    return f"Wrote {_pairs(questions)} to {file}."


def notes(left_out: int, unfinished: int) -> list[str]:
    """The notes on questions that a file does not have, and on answers that stopped in the middle."""
    found = []
    if left_out:
        found.append(f"{texts.questions(left_out)} without an answer {_are(left_out)} left out.")
    if unfinished:
        what = "1 answer" if unfinished == 1 else f"{unfinished:,} answers"
        found.append(f"{what} {_are(unfinished)} unfinished. The file contains what was written.")
    return found


def exporting(questions: int, total: int) -> str:
    """The line on how far a long export is."""
    return f"{questions:,} of {texts.questions(total)}…"


def importing(questions: int) -> str:
    """The line on an import that takes long."""
    return f"Importing {texts.questions(questions)}. This can take a minute."


def imported(questions: int, conversation: Conversation) -> str:
    """The operator's answer to an import."""
    if conversation.platform == "discord":
        return f"Imported {_pairs(questions)}. The bot knows them from the next question on."
    return (
        f"Imported {_pairs(questions)}. To go on: python -m bot chat --conversation {shlex.quote(conversation.channel)}"
    )


def loaded(questions: int, file: str) -> str:
    """The answer to /load."""
    return f"I've read {_pairs(questions)} from {file} and remember them now."


def only_while_stopped(questions: int) -> str:
    """The notice before an import for which nobody else may use the database."""
    return f"The file has {texts.questions(questions)}. So many can only be imported while the bot is stopped."


def too_many_to_load(file: str, questions: int, conversation: Conversation) -> str:
    """The answer to a /load that would keep other programs from writing for too long."""
    return (
        f"{file} has {texts.questions(questions)}, too many for /load. Leave with /quit and use:"
        f" python -m bot import {shlex.quote(file)} {shlex.quote(str(conversation))}"
    )


def unknown_conversation(conversation: Conversation, others: Sequence[tuple[Conversation, int]]) -> str:
    """The refusal to export what is not there. `others` are conversations that are, with their questions."""
    if not others:
        return f"There is no conversation {conversation}, and no other one yet."
    listed = "\n".join(f"  {each} ({texts.questions(questions)})" for each, questions in others)
    return (
        f"There is no conversation {conversation}. The ones used last are:\n{listed}\n"
        "`python -m bot conversations` lists all."
    )


def nothing_to_export(conversation: Conversation) -> str:
    return f"The conversation {conversation} is empty. There is nothing to export."


def unknown_channel(conversation: Conversation) -> str:
    return (
        f"Nothing is stored for {conversation} yet. Ask the bot a question there, use /reset there, then import again."
    )


def not_empty(conversation: Conversation, questions: int) -> str:
    elsewhere = "" if conversation.platform == "discord" else ", or choose another name"
    return f"The conversation {conversation} has {texts.questions(questions)} already. Use /reset first{elsewhere}."


def has_persona(conversation: Conversation) -> str:
    return (
        f"The system message in the file is not the persona of {conversation}. Set it there with /persona first, or"
        " remove it from the file."
    )


def persona_too_long(length: int, most: int) -> str:
    return (
        f"The system message is {length:,} characters long. On Discord it can have {most:,} at most. Shorten it in the"
        " file."
    )


NO_FILE_NAMED = "/load needs the name of a file, as in: /load messages.json"


def exists(file: str) -> str:
    return f"{file} exists already. Choose another name, or move it away."


def unwritable(file: str, reason: str) -> str:
    return f"{file} cannot be written ({reason}). Choose another place."


def missing(file: str) -> str:
    return f"{file} does not exist. Check the name and the folder."


def is_folder(file: str) -> str:
    return f"{file} is a folder. Name a file in it."


def no_file(file: str) -> str:
    return f"{file} is not a regular file. Save the messages to a file first."


def unreadable(file: str, reason: str) -> str:
    return f"{file} cannot be read ({reason}). Choose another file."


def too_large(file: str, most: int) -> str:
    return f"{file} is too large. A file may have {most // 1024**2} MiB. Remove older messages from it."


def not_text(file: str) -> str:
    return f"{file} is not text in UTF-8 or UTF-16. Save it again as UTF-8."


def not_json(file: str, line: int, column: int) -> str:
    return f"{file} is not valid JSON (line {line:,}, column {column:,}). It must be: {_FORM}"


def no_messages(file: str) -> str:
    return f"{file} is not a list of messages. It must be: {_FORM}"


def empty(file: str) -> str:
    return f"{file} has no messages. Choose another file."


def unknown_role(file: str, number: int, role: str | None) -> str:
    has = "has no role" if role is None else f"has the role {role[:20]!r}"
    return f'Message {number:,} in {file} {has}. It must be "system", "user" or "assistant".'


def not_only_text(file: str, number: int) -> str:
    return (
        f"Message {number:,} in {file} is not only text. Images, files and tool calls can't be imported; remove them."
    )


def no_text(file: str, number: int) -> str:
    return f"Message {number:,} in {file} is empty. Remove it, and its question or answer too."


def half_character(file: str, number: int) -> str:
    return f"Message {number:,} in {file} has half a character (a lone surrogate). Remove or replace it."


def late_system_message(file: str, number: int) -> str:
    return f"Message {number:,} in {file} is a system message. Only the first message can be one."


def no_question(file: str, number: int) -> str:
    return f"Message {number:,} in {file} is an answer without a question. Remove it, or put a question before it."


def twice(file: str, number: int, role: str) -> str:
    what = "questions" if role == "user" else "answers"
    return f"Messages {number - 1:,} and {number:,} in {file} are both {what}. Questions and answers must alternate."


def _pairs(questions: int) -> str:
    return "1 question and its answer" if questions == 1 else f"{questions:,} questions and their answers"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"
