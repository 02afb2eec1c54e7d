"""The loop: read ahead, embed, write durable parts, publish."""
