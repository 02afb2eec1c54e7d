"""Runs beside published results and beside each other."""
