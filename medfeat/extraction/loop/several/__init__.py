"""Several devices at once: a process for each embeds a share of the images, and the one that began it writes them."""
