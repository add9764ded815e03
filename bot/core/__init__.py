"""The life of a turn, whatever the platform. Imports nothing of ours."""
