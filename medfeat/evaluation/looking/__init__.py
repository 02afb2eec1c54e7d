"""What pictures of a dataset and its embeddings are drawn from."""
