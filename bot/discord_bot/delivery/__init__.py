"""Shows replies as messages within Discord's limits. Imports the core, the store, texts and markdown."""
