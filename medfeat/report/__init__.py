"""Results as tables, figures and pages; nothing here computes a score."""
