"""The desk: what the command line asks of a running service, in place of opening a house of its own."""
