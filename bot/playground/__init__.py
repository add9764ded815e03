"""The whole bot in a browser on this machine: the stand-in for Discord, the real bot on it, a page to talk to it."""

from bot.playground.model import or_demo
from bot.playground.run import playground

__all__ = ["or_demo", "playground"]
