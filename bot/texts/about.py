"""The sentences around "Ask about this", the command in a message's menu."""

from __future__ import annotations

NAME = "Ask about this"
FORM = "Ask about this message"
FIELD = "Your question (optional)"
FIELD_HELP = "Everyone who can see this channel sees my answer."
FIELD_HELP_DIRECT = "I answer here."
FIELD_EXAMPLE = "What does this mean?"
ACCEPTED = "I'm answering in reply to that message."
ALREADY_ASKED = "I have that question already. I'm answering in reply to the message."
OPEN_AGAIN = f"I don't have that message any more. Open it again: in the message's menu, choose Apps and {NAME}."
MESSAGE_GONE = "That message was deleted, so I can't answer about it."
NOTHING_TO_READ = "There's nothing in that message that I can read. Pick another one."
ONLY_YOURS = "Only you can see that message, and my answer would be public. Pick another one."
MAY_NOT_WRITE = "I can't write in this channel. Ask its moderators to allow it, or ask me in another channel."
YOU_MAY_NOT_WRITE = "You can't write in this channel, so I can't answer you here. Ask me in another channel."
