"""Routes: one module a topic, each with a `router`."""
