"""The parts of `medfeat audit`."""
