"""Connections to the model's server and to Discord: why one failed, and what to do about it.

Not its job: what is sent over a connection, and when to try again. Imports nothing of this project.
"""
