"""The last word about images that could not be read: how many, what became of them, what to do."""

from __future__ import annotations


def left_out(bad: int, total: int, lacking: str, *, skip_bad: bool) -> list[str]:
    """Return the line that ends a command where images were left out; none where none was.

    Parameters
    ----------
    bad, total
        Images that could not be read, and all that were asked for.
    lacking
        What the others have, such as ``embedding``.
    skip_bad
        Whether that was foreseen, so that nothing has to be done.

    Examples
    --------
    >>> left_out(2, 40, "embedding", skip_bad=True)
    ['2 of 40 images could not be read and have no embedding']
    """
    if not bad:
        return []
    what = f"{bad:,} of {total:,} images could not be read and {'has' if bad == 1 else 'have'} no {lacking}"
    advice = "mend or remove what is named above and run this again, or add --skip-bad if it may be missing"
    return [what if skip_bad else f"{what} (exit code 1): {advice}"]
