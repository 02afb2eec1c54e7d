"""Stores by name, looked after, opened again."""
