"""Conversations as files: OpenAI's `messages` in JSON, out and in, and Markdown, out.

Not its job: which command asks for it, and the export of one person's questions (`bot.store.export`). Imports the
store, texts and the core.
"""
