"""How each library names, builds and describes its networks."""
