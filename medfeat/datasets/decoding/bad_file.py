"""A file that is no image."""

from __future__ import annotations


class BadFile(ValueError):  # noqa: N818 - it names what the file is, and never reaches a user as an exception
    """A file that is no image medfeat can embed; the message is the reason, in a few words."""
