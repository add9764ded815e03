"""Chat completions of servers that speak OpenAI's protocol, streamed as events; and the offline demo model.

Not its job: what is sent, and what becomes of the reply. The only importer of openai. Imports config and the core.
"""
