"""The text of /help: how the bot is used, what it keeps, and where messages go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bot.core.generation_settings import ModelJob
from bot.texts.about import NAME

COMMANDS = "Commands"
PRIVACY_POLICY, TERMS = "privacy policy", "terms of service"

_JOBS = {
    ModelJob.FALLBACK: "or to {} if that one fails",
    ModelJob.PICTURES: "to {} for images",
    ModelJob.VOICE: "to {} for voice messages",
    ModelJob.SUMMARIES: "to {} for summaries",
}
_MAX_LENGTH = 2000
"""The number of characters that Discord allows in a message."""


def help_text(
    bot: str | None,
    denied: str | None,
    model: tuple[str, str],
    helpers: Mapping[ModelJob, tuple[str, str]],
    *,
    direct_messages: bool,
    hears: bool,
    retention_days: int,
    hourly_questions_per_user: int | None,
    persona: bool,
    policies: Sequence[tuple[str, str]],
) -> str:
    """The explanation of how the bot is used in a channel or a DM.

    `bot` is its name there, or None in a DM, where nobody has to mention it. `denied` says why it does not answer
    there, if so. `hears`: voice messages are turned into text. `model` is the one that answers, and `helpers` are
    those that are asked beside it, each with its provider. `policies` are what the bot's owner publishes about it,
    each with its address.
    """
    if bot is None:
        asking = '**Just write to me**, like "why is the night sky dark?". In a server, mention me or reply to me.'
    else:
        reply = "by a reply to one of my messages"
        others = f"{reply}, or in a direct message" if direct_messages else f"or {reply}"
        asking = f'**Ask me** by mentioning me, like "@{bot} why is the night sky dark?", {others}.'
    asking += f" I also read images, text files and PDFs. About any message: its menu, then Apps, {NAME}."
    if hears:
        asking += " Voice messages work too" + ("." if bot is None else ", as replies to me.")
    if hourly_questions_per_user is not None:
        questions = "one question" if hourly_questions_per_user == 1 else f"{hourly_questions_per_user:,} questions"
        asking += f" You have {questions} an hour; /usage shows what is left."
    memory = (
        "**I remember** our conversation in each channel, thread and direct message separately. /reset forgets the"
        " conversation here, /forget-me forgets everything you said."
    )
    if retention_days:
        memory += f" I forget a conversation that nobody uses for {retention_days} days."
    others = "".join(f", {_JOBS[job].format(_named(helper))}" for job, helper in helpers.items())
    way = f"**Your messages go** to the model {_named(model)}{others}, with what I remember here."
    if persona:
        way += " A persona is set here: /persona shows it."
    paragraphs = [f"**{denied}**"] if denied else []
    paragraphs += [asking, memory, way]
    if policies:
        # In angle brackets an address has no preview.
        paragraphs.append(f"Read my owner's {' and '.join(f'[{name}](<{url}>)' for name, url in policies)}.")
    return "\n\n".join(paragraphs)[:_MAX_LENGTH]


def listed(commands: Sequence[tuple[str, str]]) -> str:
    """A line for each command: its mention, which can be pressed, and what it does."""
    return "\n".join(f"{name} {does}" for name, does in commands)


def _named(model: tuple[str, str]) -> str:
    name, provider = model
    return f"`{name}` ({provider})"
