"""Write the table of docs/security.md: every hostile input, what the command did with it, its memory and its time.

    python tools/make_security.py

Each input of tests/hostile_inputs.py is made and given to the real command in a process of its own. The page is only
written when none executed anything, hung, took more than it may, or was believed.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "security.md"
BEGIN = "<!-- table: made by tools/make_security.py -->"
sys.path.insert(0, str(ROOT / "tests"))


def main() -> None:
    """Try every input and write the table."""
    import hostile
    from hostile_inputs import every
    from medfeat.report.tables import Table, markdown

    hostile.load()
    rows, wrong = [], []
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MEDFEAT_CACHE"] = str(Path(folder) / "none")
        arena = hostile.arena(Path(folder) / "arena")
        for i, one in enumerate(every()):
            found = hostile.give(one, arena, Path(folder) / f"case{i}")
            fault = found.wrong(one)
            wrong += [f"{one.kind}, {one.what}: {fault}"] if fault else []
            command = one.words.split(" --")[0].split(" {")[0]
            rows.append((one.kind, one.what, command, found.became(folder), f"{max(found.peak_bytes, 0) >> 20}",
                         f"{found.seconds:.1f}"))  # fmt: skip
    if wrong:
        sys.exit("\n".join(wrong))
    columns = ("from", "what", "given to", "what happens", "peak, MB", "seconds")
    text = PAGE.read_text(encoding="utf-8").partition(BEGIN)[0]
    PAGE.write_text(f"{text}{BEGIN}\n\n{markdown([Table('', columns, tuple(rows))])}", encoding="utf-8")


if __name__ == "__main__":
    main()
