"""Answers to interactions: how each is answered in time, forms, and the buttons under replies.

Not its job: what a command does (commands/) and what a reply shows (delivery/). Imports access and delivery.
"""
