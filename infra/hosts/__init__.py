"""Graph hosts: whoever runs a graph and keeps its threads, behind one port."""
