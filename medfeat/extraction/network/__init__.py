"""A network on a device: the only room here that computes with torch."""
