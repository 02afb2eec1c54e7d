"""Heads and stores judged: val selects, test is read once."""
