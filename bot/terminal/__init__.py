"""A conversation over standard input and output: a chat at a terminal, one turn a line in a pipe.

Not its job: opening the store or the model. Imports the store, texts, files and the core.
"""

from bot.terminal.run import chat

__all__ = ["chat"]
