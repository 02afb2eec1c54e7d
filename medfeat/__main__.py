"""`python -m medfeat` runs the command."""

from medfeat_cli.main import main

main()
