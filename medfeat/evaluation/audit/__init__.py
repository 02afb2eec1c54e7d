"""Copies, neighbours, and labels that look wrong."""
