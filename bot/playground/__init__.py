"""The playground runs the whole bot in a browser on this computer.

The package starts the stand-in for Discord, connects the real bot to it and serves a page for talking to the bot. The
package holds no behaviour of the bot itself. It imports only the packages below it in the map.
"""

from bot.playground.model import or_demo
from bot.playground.run import playground

__all__ = ["or_demo", "playground"]
