"""One file for each command that needs both sides: nothing but the command line and `medfeat` itself imports these."""
