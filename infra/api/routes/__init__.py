"""Routes: one module a topic, each with a `router`."""

NAMES = ("system", "assistants", "crons", "threads", "state", "store")
"""Modules whose routers the application includes, in this order."""
