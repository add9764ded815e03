"""The settings. Nothing else in this project reads the environment."""

from bot.config.settings import DEFAULT_SYSTEM_PROMPT, DISCORD, MODEL, SETTINGS, Requirement, Settings, help_text
from bot.config.values import Secret

__all__ = [
    "DEFAULT_SYSTEM_PROMPT",
    "DISCORD",
    "MODEL",
    "SETTINGS",
    "Requirement",
    "Secret",
    "Settings",
    "help_text",
]
