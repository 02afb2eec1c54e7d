"""Datasets made of what a program holds: arrays, pictures, torch and Hugging Face datasets."""
