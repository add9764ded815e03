"""Discord's protocol and a model server on this computer, with faults on demand, for the tests and the playground.

Not its job: anything that the bot decides. Imports nothing of the bot, so that no mistake of the bot's can hide here.
"""
