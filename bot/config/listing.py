"""The list of all settings in the groups of docs/settings.md, for `--help-settings`."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from bot.config.settings import SETTINGS

_WIDTH = 80
_ORDINARY = {
    "Must be set": "DISCORD_TOKEN OPENAI_API_KEY OPENAI_BASE_URL",
    "Model": "OPENAI_MODEL MODELS SYSTEM_PROMPT CONTEXT_TOKENS REPLY_TOKENS",
    "Limits": (
        "HOURLY_QUESTIONS_PER_USER DAILY_TOKENS_PER_USER DAILY_TOKENS_PER_SERVER DAILY_TOKENS_TOTAL DAILY_BUDGET PRICES"
    ),
    "Access": "SERVERS DIRECT_MESSAGES ALLOWED_USERS ALLOWED_ROLES BLOCKED_USERS BLOCKED_ROLES",
    "Storage": "DATABASE_PATH RETENTION_DAYS",
    "Logs": "LOG_LEVEL",
}
_ADVANCED = "Advanced"
"""The group of all other settings."""


def groups() -> Mapping[str, Sequence[str]]:
    """The names of the settings in each group."""
    ordinary = {title: names.split() for title, names in _ORDINARY.items()}
    named = {name for names in ordinary.values() for name in names}
    return {**ordinary, _ADVANCED: [name for name in SETTINGS if name not in named]}


def listing() -> str:
    """All settings with their defaults and what they are."""
    lines = ["Write settings into .env, or set them in the environment, which wins."]
    for title, names in groups().items():
        lines += ["", f"{title}:"]
        for name in names:
            setting = SETTINGS[name]
            lines.append(f"  {name}={setting.default}" if setting.default else f"  {name}")
            lines += textwrap.wrap(setting.help, _WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return "\n".join(lines)
