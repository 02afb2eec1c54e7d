"""Datasets in one .npz file, read row by row."""
