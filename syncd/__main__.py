"""`python -m syncd` is the command line."""

from syncd.cli.main import main

main()
