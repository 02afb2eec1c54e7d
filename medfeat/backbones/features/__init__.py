"""From images to the vectors of a network: resize, layers, pooling, one row an image."""
