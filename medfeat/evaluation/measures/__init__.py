"""Scores and their uncertainty, of one split at a time."""
