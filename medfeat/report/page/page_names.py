"""What may stand on a page: ids without the names of patients and without DICOM's identifiers, unless asked for."""

from __future__ import annotations

import re
from collections.abc import Sequence

_UID = re.compile(r"(?<![\d.])[0-2](?:\.(?:0|[1-9]\d*)){4,}(?![\d.]*\d)")
# A patient of one or two letters would be found inside every word.
_SHORTEST = 3


def pseudonyms(patients: Sequence[str]) -> dict[str, str]:
    """Return a name to show for each patient: ``patient 1``, ``patient 2``, in the order in which they first occur."""
    return {name: f"patient {i}" for i, name in enumerate(dict.fromkeys(patients), 1)}


def shown_ids(ids: Sequence[str], patients: Sequence[str] | None = None) -> list[str]:
    """Return ids as a page shows them, unique as they were.

    Parameters
    ----------
    ids
        Unique; often paths of files.
    patients
        One an id, where they are known: each is replaced inside its id.

    Examples
    --------
    >>> shown_ids(["DOE_JANE/1.2.840.10008.1.2.dcm", "train/7"], ["DOE_JANE", "x"])
    ['patient 1/uid 1.dcm', 'train/7']
    """
    called = pseudonyms(patients) if patients is not None else {}
    uids: dict[str, str] = {}

    def uid(match: re.Match[str]) -> str:
        return uids.setdefault(match[0], f"uid {len(uids) + 1}")

    found, seen = [], set()
    for i, one in enumerate(ids):
        shown = one
        if patients is not None and len(patients[i]) >= _SHORTEST:
            shown = shown.replace(patients[i], called[patients[i]])
        shown = _UID.sub(uid, shown)
        if shown in seen:
            shown = f"{shown} (row {i + 1})"
        seen.add(shown)
        found.append(shown)
    return found


def scrubbed(text: str, patients: Sequence[str] | None = None) -> str:
    """Return what was said of files without the names of patients and without DICOM's identifiers.

    Examples
    --------
    >>> scrubbed("patient DOE_JANE is in train here and in test in line 3", ["DOE_JANE"])
    'patient (a patient) is in train here and in test in line 3'
    """
    for name in sorted({name for name in patients or () if len(name) >= _SHORTEST}, key=len, reverse=True):
        text = text.replace(name, "(a patient)")
    return _UID.sub("(a uid)", text)
