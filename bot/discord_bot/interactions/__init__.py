"""Answers to buttons, forms and commands. Imports access and delivery."""
