"""What commands give back, as values, lines and files."""
