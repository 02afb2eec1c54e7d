"""Files of weights: had, told apart, read without running anything, and fitted to a network."""
