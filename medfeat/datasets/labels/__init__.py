"""What labels and patients mean, however people write them."""
