"""The Discord adapter: events to turns, commands, buttons; the one place that imports discord.py."""

from discord import VoiceClient

# This bot does not speak, so discord.py need not warn at every start of what it would take.
VoiceClient.warn_nacl = VoiceClient.warn_dave = False
