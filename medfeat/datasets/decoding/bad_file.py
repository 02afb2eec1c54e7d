"""A file that is no image, and a format whose package is missing."""

from __future__ import annotations

from medfeat.errors import MissingExtraError


class BadFile(ValueError):  # noqa: N818 - it names what the file is, and never reaches a user as an exception
    """A file that is no image medfeat can embed; the message is the reason, in a few words."""


def missing_extra(what: str, package: str, extra: str, error: ImportError) -> MissingExtraError:
    """Build the error for a format whose package is not installed."""
    return MissingExtraError(f"{what} files need the package {package} ({error}): pip install 'medfeat[{extra}]'")
