"""Shows replies and notices as messages, within Discord's limits.

What is answered, and whether somebody may ask, is not decided here. This package imports texts, markdown, the store and
the core, and of `bot.discord_bot` nothing but itself and the conversation keys of `inbound.reader`.
"""
