"""The settings, from the environment and `.env`, with all mistakes reported together.

Not its job: what a setting does. Nothing else in this project reads settings. Imports the core's values.
"""

from bot.config.listing import groups, listing
from bot.config.loading import DEFAULT_SYSTEM_PROMPT, Requirement
from bot.config.model_servers import ModelServerSettings
from bot.config.settings import DISCORD, MODEL, SETTINGS, Settings
from bot.config.values import ListenAddress, Secret

__all__ = [
    "DEFAULT_SYSTEM_PROMPT",
    "DISCORD",
    "MODEL",
    "SETTINGS",
    "ListenAddress",
    "ModelServerSettings",
    "Requirement",
    "Secret",
    "Settings",
    "groups",
    "listing",
]
