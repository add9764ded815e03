"""Parley, a chatbot for Discord. The map of its packages is in docs/architecture.md."""
