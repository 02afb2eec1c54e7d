"""Datasets drawn from a seed; they need no file and are no medical data."""
