"""Durable resources and runs over PostgreSQL; nothing of HTTP."""
