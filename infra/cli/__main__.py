"""`python -m fiel.infra.cli`, for where the console script is not on the path."""

from fiel.infra.cli import main

main()
