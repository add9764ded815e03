"""Who may use the bot where. Imports delivery."""
