"""How the heads of policies are trained. Nothing here is imported by what serves."""
