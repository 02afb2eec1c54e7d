"""What the site has beside the pages in docs: the README as its start, the Python reference, lists, and linked files.

MkDocs calls these functions (`hooks` in mkdocs.yml). Pages stay as a repository shows them: links to files outside docs
are followed here, and the files they name come along.
"""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[1]
_LINK = re.compile(r"(\]\()([^)#\s:]+)(#[^)\s]*)?(\))")
# Pages at the root of the repository, by their names on the site.
_AT_ROOT = {
    "README.md": "index.md",
    **{name: name for name in ("CHANGELOG.md", "CONTRIBUTING.md", "RELEASING.md")},
}
_COMES_ALONG = (".json", ".py", ".toml")


def on_files(files: Any, config: Any) -> Any:
    """Add pages that are made here, and every file that a page links to and docs does not hold."""
    made = {
        **{name: (ROOT / source).read_text(encoding="utf-8") for source, name in _AT_ROOT.items()},
        "api.md": _reference(),
        "decisions/index.md": _decisions(),
    }
    for name, text in made.items():
        files.append(File.generated(config, name, content=text))
    for name in sorted(_linked_files()):
        files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    return files


def on_page_markdown(markdown: str, page: Any, **_more: Any) -> str:
    """Turn links of the repository into those of the site."""
    at = _source(page.file.src_uri)
    return _LINK.sub(lambda found: _turned(found, at, page.file.src_uri), markdown)


def _source(uri: str) -> str:
    """Return where the text of a page lies in the repository."""
    for source, name in _AT_ROOT.items():
        if uri == name:
            return source
    return f"docs/{uri}"


def _turned(found: re.Match[str], source: str, uri: str) -> str:
    opening, link, anchor, closing = found.groups()
    target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link))
    if target.startswith("docs"):
        there = target.removeprefix("docs").lstrip("/") or "."
        there = f"{there}/index.md" if (ROOT / target).is_dir() else there
    elif target in _AT_ROOT:
        there = _AT_ROOT[target]
    elif target.endswith(_COMES_ALONG) and (ROOT / target).is_file():
        there = target
    else:
        return found.group()
    relative = posixpath.relpath(there, posixpath.dirname(uri) or ".")
    return f"{opening}{relative}{anchor or ''}{closing}"


def _linked_files() -> set[str]:
    pages = [*(ROOT / "docs").rglob("*.md"), *(ROOT / name for name in _AT_ROOT)]
    found = set()
    for page in pages:
        for _, link, _, _ in _LINK.findall(page.read_text(encoding="utf-8")):
            target = os.path.normpath(page.parent / link)
            name = os.path.relpath(target, ROOT).replace(os.sep, "/")
            if not name.startswith(("docs", "..")) and name.endswith(_COMES_ALONG) and (ROOT / name).is_file():
                found.add(name)
    return found


def _reference() -> str:
    """Return the page that mkdocstrings fills from the docstrings of all public names."""
    import medfeat

    places = sorted((name, place) for name, place in medfeat._WHERE.items())
    entries = "\n\n".join(f"::: {place}.{name}" for name, place in places)
    return f"# Python\n\nEvery name that `import medfeat` offers.\n\n{entries}\n"


def _decisions() -> str:
    lines = ["# Decisions", "", "Why things are as they are, in the order in which it was decided.", ""]
    for path in sorted((ROOT / "docs" / "decisions").glob("0*.md")):
        title = path.read_text(encoding="utf-8").splitlines()[0].removeprefix("# ")
        lines.append(f"- [{path.stem[:4]} {title}]({path.name})")
    return "\n".join(lines) + "\n"
