"""Spans: written by the recorder, kept in PostgreSQL with the ledger's entries, shipped from there to MLflow."""
