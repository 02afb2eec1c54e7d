"""The parts of `medfeat study`: what a file says, its cells, what the cache knows of each, and who makes them."""
