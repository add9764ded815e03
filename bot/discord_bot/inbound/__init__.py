"""What comes from Discord: messages as prompts, edits and deletions, missed messages, recovery after a restart.

Not its job: whether a user may use the bot (access/), how a reply is shown (delivery/). Imports access and delivery.
"""
