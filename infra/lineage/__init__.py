"""Lineage: from a document to the answers that used it, and from a sentence of an answer back to its source."""
