"""Routes: one module a topic, each with a `router`."""

NAMES = (
    "system",
    "openai_models",
    "openai_chat",
    "openai_responses",
    "assistants",
    "crons",
    "runs",
    "stateless",
    "streams",
    "threads",
    "state",
    "store",
    "people",
    "grants",
    "reviews",
    "feedback",
    "audit",
    "lineage",
    "erasures",
    "desk",
)
"""Modules whose routers the application includes, in this order."""
