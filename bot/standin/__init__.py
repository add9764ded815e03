"""Stand-ins for Discord and for a model server on this computer, with faults on demand, for tests and playground.

The stand-ins make no decision of the bot. They import no module of the bot, so a mistake of the bot cannot hide here.
"""
