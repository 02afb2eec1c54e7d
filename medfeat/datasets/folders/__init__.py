"""Own images as files: what lies in a folder or a CSV, and what it says of them."""
