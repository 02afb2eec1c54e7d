"""Matplotlib's figures inside a page: SVG with real text, in the colours of the page, light or dark."""

from __future__ import annotations

import hashlib
import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from markupsafe import Markup

from medfeat.report.figures import FAINT, INK, OURS
from medfeat.report.page.html import element

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# What a page's style sheet sets; everything else keeps the colour it was drawn in.
_THEMED = {INK: "var(--ink)", FAINT: "var(--line)", OURS: "var(--ours)", "#000000": "var(--ink)"}
_FONT = "system-ui, sans-serif"


@contextmanager
def drawing() -> Iterator[None]:
    """Draw without complaints about letters that the measuring font lacks: the reader's own font shows them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*[Gg]lyph.*")
        yield


def inline(figure: Figure, caption: str, *, described: str = "") -> Markup:
    """Return a figure element with the drawing as SVG.

    Parameters
    ----------
    figure
        Drawn with the colours of `medfeat.report.figures`.
    caption
        Below it.
    described
        What a screen reader says instead of the drawing; by default the caption.
    """
    svg = Markup(_svg_text(figure, described or caption))
    return element("figure", svg, element("figcaption", caption))


def _svg_text(figure: Figure, described: str) -> str:
    """Return a figure as an SVG element that can stand in HTML beside others."""
    from matplotlib import rc_context

    out = io.StringIO()
    salt = hashlib.blake2b(described.encode("utf-8", "replace"), digest_size=6).hexdigest()
    with drawing(), rc_context({"svg.fonttype": "none", "svg.hashsalt": salt, "font.family": "sans-serif"}):
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    text = re.sub(r"font: ([\d.]+)px [^;\"]*", rf"font: \1px {_FONT}", text)
    for drawn, themed in _THEMED.items():
        text = re.sub(rf"(fill|stroke): {drawn}\b", rf"\1: {themed}", text)
    text = re.sub(r"<text (?![^>]*fill)", '<text fill="var(--ink)" ', text)
    label = element("title", described)
    opened, _, rest = text.partition(">")
    return f'{opened} role="img">{label}{rest}'
