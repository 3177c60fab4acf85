"""Routes: one module a topic, each with a `router`."""

NAMES = ("system",)
"""Modules whose routers the application includes, in this order."""
