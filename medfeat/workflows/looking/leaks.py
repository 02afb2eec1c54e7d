"""Images and patients in two splits, and what audits found, as tables for a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from medfeat.counted import counted_are
from medfeat.evaluation.audit.duplicates import NEAR, same_pixels
from medfeat.report.tables import Table, number
from medfeat.tasks.versions import image_key
from medfeat.types import UInt8Array
from medfeat.workflows.looking.listed import Listed
from medfeat_cache import StoreHeader
from medfeat_cache.commands import command

SHOWN = 20


def identical_table(listed: Listed, rows: NDArray[np.int64], hashes: UInt8Array, shown: Mapping[str, str]) -> Table:
    """Return how many images show the same pixels, by the splits they are in.

    Parameters
    ----------
    listed
        All images.
    rows, hashes
        (m,) positions of images that were looked at, and their hashes.
    shown
        Ids as the page shows them.
    """
    title, columns = "Identical images", ("where", "pairs", "labels differ", "such as")
    if not len(rows):
        return Table(title, columns, (), ("Not looked for: no image could be read.",))
    first, again = same_pixels(hashes)
    found: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for a, b in zip(rows[first].tolist(), rows[again].tolist(), strict=True):
        found.setdefault((str(listed.split[a]), str(listed.split[b])), []).append((a, b))
    lines = []
    for (one, other), pairs in sorted(found.items(), key=lambda item: (item[0][0] == item[0][1], item[0])):
        differ = sum(_differ(listed, a, b) for a, b in pairs)
        a, b = (shown[str(listed.ids[i])] for i in pairs[0])
        where = f"inside {one or 'the set'}" if one == other else f"{one} and {other}"
        lines.append((where, str(len(pairs)), str(differ), f"{a} = {b}"))
    if not lines:
        return Table(title, columns, (), (f"None among the {len(rows):,} images that were looked at.",))
    across = sum(len(pairs) for (one, other), pairs in found.items() if one != other)
    notes = (f"{counted_are(across, 'image')} in two splits: scores on it flatter.",) if across else ()
    return Table(title, columns, tuple(lines), notes)


def _differ(listed: Listed, a: int, b: int) -> bool:
    return listed.labels is not None and not np.array_equal(listed.labels[a], listed.labels[b])


def patient_table(listed: Listed, shown: Mapping[str, str]) -> Table | None:
    """Return the patients that are in several splits; None where no patients are known."""
    if listed.patients is None:
        return None
    splits: dict[str, set[str]] = {}
    for patient, split in zip(listed.patients.tolist(), listed.split.tolist(), strict=True):
        splits.setdefault(patient, set()).add(split)
    shared = [(shown[name], ", ".join(sorted(parts))) for name, parts in splits.items() if len(parts) > 1]
    title = f"Patients in several splits: {len(shared)} of {len(splits)}"
    more = (f"and {len(shared) - SHOWN} more",) if len(shared) > SHOWN else ()
    return Table(title, ("patient", "splits"), tuple(shared[:SHOWN]), more)


def audit_tables(
    kept: Sequence[Mapping[str, Any]], shown: Mapping[str, str], *, dataset: str, stores: Sequence[StoreHeader]
) -> list[Table]:
    """Return near duplicates and doubtful labels of the newest audit, or the command that looks for them.

    Parameters
    ----------
    kept
        What audits of the dataset found, newest first.
    shown
        How each image is called.
    dataset
        Its name.
    stores
        Of the images that are shown: an audit of other images is taken only where there is none of these, and says so.
    """
    how = command("audit", data=dataset, backbone="NAME")
    if not kept:
        return [Table("Near duplicates and doubtful labels", (), (), (f"Not looked for yet: {how} does.",))]
    now = {None, "", *(image_key(header.info) for header in stores)}  # of official sets nothing, nor of audits before
    of_these = [one for one in kept if one.get("images") in now]
    one = next(iter(of_these or kept))
    older = () if of_these else (f"Found when there were other images; {how} looks at these.",)
    pairs = [pair for pair in one.get("duplicates", ()) if pair["kind"] == NEAR]
    counts: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for pair in pairs:
        counts.setdefault((pair["split_first"], pair["split_second"]), []).append(pair)
    near = tuple(
        (f"{a} and {b}" if a != b else f"inside {a}", str(len(found)), f"{_shown(found[0]['first'], shown)} ≈ "
         f"{_shown(found[0]['second'], shown)}", number(found[0]["cosine"], 4))
        for (a, b), found in counts.items()
    )  # fmt: skip
    by = f"audit by {one['backbone']}"
    none = () if near else ("None.",)
    tables = [Table(f"Near duplicates ({by})", ("where", "pairs", "such as", "cosine"), near, (*none, *older))]
    doubts = one.get("label_errors", ())
    rows = tuple(
        (_shown(error["id"], shown), error["split"], error["label"], error["suggested"], number(error["margin"]))
        for error in doubts[:SHOWN]
    )
    more = (f"and {len(doubts) - SHOWN} more",) if len(doubts) > SHOWN else ()
    columns = ("id", "split", "label", "suggested", "margin")
    likely = sum(bool(error.get("likely")) for error in doubts)
    tables.append(
        Table(f"Doubtful labels: {len(doubts)}, {likely} likely errors ({by})", columns, rows, (*more, *older))
    )
    return tables


def _shown(one: str, shown: Mapping[str, str]) -> str:
    # An id that is in no list any more is not shown as it is: it may say more than it should.
    return shown.get(one, "an image that is no longer there")
