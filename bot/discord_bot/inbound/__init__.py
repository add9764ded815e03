"""Discord's events to prompts: reading, edits, what was missed, recovery. Imports access and delivery."""
