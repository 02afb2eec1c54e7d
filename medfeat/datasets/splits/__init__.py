"""Which samples train, select and test: as told by names and columns, or drawn."""
