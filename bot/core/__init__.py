"""The life of a turn on any platform: saved, queued, answered by the model, closed, delivered; and the shared values.

Not its job: Discord, the terminal, SQL and the model's protocol, which it knows only by `bot.core.protocols`.
Imports nothing of ours.
"""
