"""Elements and whole pages: text is escaped unless it is `Markup`, and a page can neither fetch nor run foreign code.

The page's own content security policy forbids every request, and names the scripts that may run by their digest: even
markup that slipped through would be shown, not obeyed.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

from markupsafe import Markup, escape

from medfeat.report.tables import Table, numeric_columns

_VOID = frozenset({"img", "input", "meta", "br"})
# Longer values of facts get a line of their own.
_LONG = 60
_DROPPED = dict.fromkeys([*range(9), 11, 12, *range(14, 32), 127])


@dataclass(frozen=True)
class Section:
    """A part of a page: its anchor, its heading and what it holds."""

    anchor: str
    heading: str
    parts: tuple[Markup, ...]


@dataclass(frozen=True)
class Page:
    """What becomes one file.

    Attributes
    ----------
    title, lead
        The heading, and a line below it.
    sections
        In order; each is in the contents.
    data
        JSON values by the id under which scripts find them.
    scripts
        Names of scripts of this package, in order.
    footer
        The last line.
    warning
        A line above everything, where there is something to heed.
    """

    title: str
    lead: str
    sections: tuple[Section, ...]
    data: Mapping[str, Any] = field(default_factory=dict)
    scripts: tuple[str, ...] = ("page.js",)
    footer: str = ""
    warning: str = ""


def element(name: str, /, *children: Any, **attributes: Any) -> Markup:
    """Return an element; children and values of attributes are escaped unless they are `Markup`.

    Parameters
    ----------
    name
        Of the tag.
    children
        Text, markup, or lists of these; None is left out.
    attributes
        A trailing underscore is dropped and others become hyphens (``class_``, ``aria_label``); True gives a bare
        attribute, None and False none.

    Examples
    --------
    >>> element("p", "a < b", class_="note")
    Markup('<p class="note">a &lt; b</p>')
    """
    words = [name]
    for key, value in attributes.items():
        spelled = key.rstrip("_").replace("_", "-")
        if value is True:
            words.append(spelled)
        elif value not in (None, False):
            words.append(f'{spelled}="{escape(_clean(value))}"')
    opened = f"<{' '.join(words)}>"
    if name in _VOID:
        return Markup(opened)
    return Markup(f"{opened}{joined(children)}</{name}>")


def joined(children: Iterable[Any]) -> Markup:
    """Return children one after the other, escaped unless they are markup; lists are flattened, None left out."""
    parts: list[Any] = []
    for child in children:
        if isinstance(child, list | tuple):
            parts.append(joined(child))
        elif child is not None:
            parts.append(child if isinstance(child, Markup) else escape(_clean(child)))
    return Markup("").join(parts)


def _clean(value: Any) -> str:
    """Return text without the control characters that no HTML may hold, and without halves of characters."""
    return str(value).translate(_DROPPED).encode("utf-8", "replace").decode("utf-8")


def prose(line: str) -> Markup:
    """Return a line of text, what stands between backquotes as code."""
    return joined([element("code", part) if i % 2 else part for i, part in enumerate(line.split("`"))])


def table(shown: Table, *, sortable: bool = True, cells: Mapping[tuple[int, int], Markup] | None = None) -> Markup:
    """Return a table in a box that scrolls; `cells` replaces words by markup, by row and column.

    A table without rows is its title and its notes.
    """
    notes = [element("p", prose(line), class_="note") for line in shown.notes]
    if not shown.rows:
        return joined([element("h3", shown.title) if shown.title else None, notes])
    numeric = numeric_columns(shown)
    mine = cells or {}
    head = [
        element("th", name, scope="col", class_="number" if right else None)
        for name, right in zip(shown.columns, numeric, strict=True)
    ]
    rows = [
        element(
            "tr",
            [
                element(
                    "td",
                    mine.get((i, j), word),
                    class_="number" if numeric[j] else None,
                    data_value=word if (i, j) in mine else None,
                )
                for j, word in enumerate(row)
            ],
            class_="strong" if i in shown.strong else None,
        )
        for i, row in enumerate(shown.rows)
    ]
    body = [element("thead", element("tr", head)), element("tbody", rows)]
    title = element("caption", shown.title) if shown.title else None
    drawn = element("table", title, body, class_="sortable" if sortable and len(shown.rows) > 1 else None)
    return joined([element("div", drawn, class_="scroll"), notes])


def facts(pairs: Sequence[tuple[str, Any]]) -> Markup:
    """Return names and values as a list of facts; those without a value are left out."""
    shown = [
        element("div", element("dt", name), element("dd", value), class_="wide" if len(str(value)) > _LONG else None)
        for name, value in pairs
        if value not in ("", None)
    ]
    return element("dl", shown, class_="facts")


def text_of(page: Page) -> str:
    """Return the whole file as text."""
    scripts = [_asset(name) for name in page.scripts]
    allowed = " ".join(f"'sha256-{_digest(script)}'" for script in scripts)
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {allowed}"
    head = [
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=policy),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="referrer", content="no-referrer"),
        element("meta", name="robots", content="noindex"),
        element("title", page.title),
        Markup(f"<style>{_asset('page.css')}</style>"),
    ]
    data = [_data(name, value) for name, value in page.data.items()]
    code = [Markup(f"<script>{script}</script>") for script in scripts]
    body = element("body", _body(page), data, code)
    return f"<!doctype html>\n{element('html', element('head', head), body, lang='en')}\n"


def _body(page: Page) -> Markup:
    contents = [element("a", one.heading, href=f"#{one.anchor}") for one in page.sections]
    top = element(
        "header",
        element("h1", page.title),
        element("p", page.lead, class_="soft"),
        element("p", page.warning, class_="warning", role="note") if page.warning else None,
        element("div", element("button", "Light or dark", id="theme", type="button"), class_="bar"),
        element("nav", contents, class_="contents", aria_label="Contents"),
        class_="top",
    )
    sections = [
        element("section", element("h2", one.heading, id=f"{one.anchor}-head"), one.parts, id=one.anchor,
                aria_labelledby=f"{one.anchor}-head")
        for one in page.sections
    ]  # fmt: skip
    skip = element("a", "Skip to the content", href="#main", class_="skip")
    return joined([skip, top, element("main", sections, id="main"), element("footer", page.footer)])


def _data(name: str, value: Any) -> Markup:
    # In a script only "<" can end the element or begin a comment; JSON may spell it as an escape.
    content = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    return Markup(f'<script type="application/json" id="{escape(name)}">{content}</script>')


def _asset(name: str) -> str:
    return resources.files("medfeat.report.page").joinpath("assets", name).read_text(encoding="utf-8")


def _digest(script: str) -> str:
    return base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
