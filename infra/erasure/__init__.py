"""Erasure: what a person or an age has put into the service is destroyed, and the ledger says that it was."""
