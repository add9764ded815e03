"""A conversation over standard input and output: at a terminal a chat, in a pipe one turn for each line."""

from bot.terminal.run import chat

__all__ = ["chat"]
