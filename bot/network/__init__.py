"""Connections to the model's server and to Discord: through which proxy, whose certificates count, why one failed.

Not its job: what is sent over a connection, and when to try again. Imports nothing of this project.
"""
