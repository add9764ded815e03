"""The Discord adapter, and the only package that imports discord.py.

It turns Discord's events into turns of the core, and replies into messages. Not its job: what the model is sent, and
the order of turns (core), what is kept (store) and the sentences for people (texts).

An inner package or module imports only what is listed below it: check > runner > client > wiring > commands and
owner_alerts > interactions > inbound > access > delivery > channels, names, calls, tasks, options and endpoint.
"""
