"""Pages that open from disk: one HTML file each, everything inside it, nothing fetched."""
