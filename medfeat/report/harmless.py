"""Text from outside, spelled so that a terminal and a reader take it for what it is: no letter of it is a command."""

from __future__ import annotations

import re

# Control characters (escape sequences, line breaks), line and paragraph separators, and marks that turn the direction
# of what follows, by which one name is shown as another.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]")


def harmless(text: str) -> str:
    r"""Return text with every letter that could move a cursor, turn the writing or end a line spelled as an escape.

    Examples
    --------
    >>> harmless("a\x1b[2Jb")
    'a\\x1b[2Jb'
    """
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def harmless_json(text: str) -> str:
    """Return JSON that says the same, with these letters as escapes of JSON; its own line breaks stay."""
    return _UNSAFE.sub(lambda found: found[0] if found[0] in "\n\r\t" else f"\\u{ord(found[0]):04x}", text)
