"""The whole bot in a browser on this computer: the stand-in for Discord, the real bot on it, and a page to talk to it.

Not its job: any behaviour of the bot, which runs here as it does on Discord. Imports what stands below it in the map.
"""

from bot.playground.model import or_demo
from bot.playground.run import playground

__all__ = ["or_demo", "playground"]
