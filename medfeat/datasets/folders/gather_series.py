"""Which files of a folder are slices of which series, and what the volumes made of them are called."""

from __future__ import annotations

import filecmp
import hashlib
import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from medfeat.datasets.decoding.dicom import require_pydicom
from medfeat.datasets.decoding.dicom_headers import Slice, may_be_dicom, read_slice
from medfeat.datasets.decoding.dicom_series import Series, in_order
from medfeat.datasets.decoding.torn_slices import fault_of_torn, torn_slices
from medfeat.datasets.labels.patients import nobody, one_spelling
from medfeat.datasets.splits.split_names import SPLIT_NAMES
from medfeat.errors import DataError
from medfeat.types import Progress

LOOKED_AT = 500
_UID_LETTERS = 8


@dataclass(frozen=True)
class Gathered:
    """Volumes, and the files that are none of their slices.

    Attributes
    ----------
    ids
        Of both, sorted. A volume is called by its folder, or, where several lie in one, by the folder and a digest of
        its series.
    series
        The files of each volume, by its id.
    patients
        PatientID by id, where it is known: tells patients apart, and is neither printed nor kept.
    """

    ids: list[str]
    series: Mapping[str, Series]
    patients: Mapping[str, str] = field(repr=False)


def as_volumes(root: Path, images: Sequence[str], progress: Progress) -> Gathered:
    """Replace the slices among some files by the volumes they make.

    Slices belong together by patient, study and series. Localizers, files without a picture and second copies of a
    slice are left out, and counted aloud; a single image, a file of several frames and whatever is no DICOM stay what
    they are. A slice that cannot be read belongs to the volumes it lies beside, which are none without it.

    Parameters
    ----------
    root
        The folder that files are named from.
    images
        Files, posix.
    progress
        Shown the reading of headers, and told what is left out.

    Raises
    ------
    DataError
        When the slices of one series lie in several of the folders right below the root.
    """
    headers = _headers(root, images, progress)
    known = [one for one in headers.values() if one is not None and not one.is_cut]
    no_picture = {one.file for one in known if 0 in one.place.size}
    _say_left_out(root, no_picture, "DICOM files without a picture", progress)
    localizers = {one.file for one in known if one.localizer} - no_picture
    _say_left_out(root, localizers, "localizers", progress)
    left_out = no_picture | localizers
    groups: dict[tuple[str, ...], list[Slice]] = defaultdict(list)
    for one in known:
        if one.frames == 1 and one.file not in left_out:
            groups[one.series].append(one)
    kept = [_without_copies(root, group, progress) for group in groups.values()]
    volumes = [group for group in kept if len(group) > 1]
    single = {group[0].file for group in kept if len(group) == 1}
    names = _names(root, volumes)
    series = {name: in_order(group) for name, group in zip(names, volumes, strict=True)}
    for name, lost in zip(names, torn_slices(root, volumes, headers), strict=True):
        if lost:
            series[name] = Series((*series[name].files, *lost), fault=fault_of_torn(root, lost))
    used = {one.file for group in groups.values() for one in group} - single
    used.update(left_out, *(volume.files for volume in series.values()))
    rest = [image for image in images if image not in used]
    patients = {one.file: one.patient for one in known if one.patient}
    patients |= {name: group[0].patient for name, group in zip(names, volumes, strict=True) if group[0].patient}
    return Gathered(sorted([*rest, *series]), series, patients)


def numbered_patients(ids: Sequence[str], patients: Mapping[str, str], progress: Progress) -> tuple[str, ...] | None:
    """Give the patients of volumes numbers; PatientID itself is kept nowhere. None when it tells nobody apart."""
    written = [patients.get(name, "") for name in ids]
    missing = set(nobody(written))
    # which spellings are one is not said: they are patients' own
    raw = ["" if i in missing else patient for i, patient in enumerate(one_spelling(written)[0])]
    known = set(raw) - {""}
    if len(known) < 2:
        if len(ids) > 1:
            progress.say(
                f"PatientID {'is the same in' if known else 'is empty in'} all volumes: patients are not known, and "
                "volumes of one patient may fall into two splits; a CSV with a column patient tells them"
            )
        return None
    unknown = raw.count("")
    if unknown:
        progress.say(f"{unknown} of {len(ids)} volumes have no PatientID; each is taken for a patient of its own")
    numbers = {patient: f"patient-{i + 1}" for i, patient in enumerate(dict.fromkeys(name for name in raw if name))}
    return tuple(numbers.get(patient, f"unknown-{i + 1}") for i, patient in enumerate(raw))


def say_slices(root: Path, images: Sequence[str], progress: Progress) -> None:
    """Say that images are slices of series, for whoever meant them as volumes."""
    named = [image for image in images if may_be_dicom(root / image)]
    try:
        found = [read_slice(root, image) for image in named[:LOOKED_AT]]
    except ImportError:
        return  # reading the first of them says what to install
    slices = (one for one in found if one is not None and one.frames == 1 and not one.localizer)
    counts = Counter(one.series for one in slices if one.place.position is not None)
    several = [number for number in counts.values() if number > 1]
    if several:
        more = "at least " if len(named) > LOOKED_AT else ""
        progress.say(
            f"{root}: {more}{sum(several)} of the images are slices of {len(several)} DICOM series, and each is "
            "embedded as an image of its own; to embed a series as one volume, say --volumes series"
        )


def _headers(root: Path, images: Sequence[str], progress: Progress) -> dict[str, Slice | None]:
    require_pydicom()
    found: dict[str, Slice | None] = {}
    progress.start(len(images), "reading headers", "files")
    try:
        for image in images:
            found[image] = read_slice(root, image)
            progress.advance(1)
    finally:
        progress.finish()
    return found


def _say_left_out(root: Path, files: set[str], what: str, progress: Progress) -> None:
    if files:
        progress.say(f"{root}: {len(files)} {what} are left out, such as {min(files)}")


def _without_copies(root: Path, slices: Sequence[Slice], progress: Progress) -> list[Slice]:
    """Leave out files that are, byte for byte, a slice that is there already."""
    first: dict[tuple[str, object], Slice] = {}
    kept: list[Slice] = []
    copies: set[str] = set()
    for one in slices:
        other = first.setdefault((one.instance, one.place.position), one)
        if other is not one and filecmp.cmp(root / one.file, root / other.file, shallow=False):
            copies.add(one.file)
        else:
            kept.append(one)
    _say_left_out(root, copies, "second copies of a slice", progress)
    return kept


def _names(root: Path, volumes: Sequence[Sequence[Slice]]) -> list[str]:
    folders = [_folder(root, group) for group in volumes]
    shared = Counter(folders)
    depths = {len(PurePosixPath(folder).parts) + (shared[folder] > 1) for folder in folders}
    lone = min(depths, default=0) if len(depths) > 1 else 0
    splits = all(PurePosixPath(folder).parts[:1] and _is_split(folder) for folder in folders)
    # Where other volumes lie deeper, a folder of slices is a class (or a split and a class) and no name.
    is_class = lone if lone <= 1 + splits else 0
    names: list[str] = []
    for folder, group in zip(folders, volumes, strict=True):
        crowded = shared[folder] > 1 or folder == "." or len(PurePosixPath(folder).parts) == is_class
        name = f"series-{_digest(group[0].series)}"
        full = folder if not crowded else name if folder == "." else f"{folder}/{name}"
        again = sum(other == full or other.startswith(f"{full}-") for other in names)
        names.append(f"{full}-{again + 1}" if again else full)
    return names


def _is_split(folder: str) -> bool:
    return PurePosixPath(folder).parts[0].lower() in SPLIT_NAMES


def _folder(root: Path, slices: Sequence[Slice]) -> str:
    parents = sorted({str(PurePosixPath(one.file).parent) for one in slices})
    tops = sorted({PurePosixPath(parent).parts[:1] for parent in parents})
    if len(tops) > 1:
        raise DataError(
            f"{root}: slices of one series lie in {parents[0]} and in {parents[-1]}; put the slices of a series into "
            "one folder, or, where these are copies, leave them in one only"
        )
    return os.path.commonpath(parents) if len(parents) > 1 else parents[0]


def _digest(series: tuple[str, ...]) -> str:
    """Return a few letters for a series: UIDs name the hospital, and PatientID is no part of it."""
    return hashlib.blake2b("\0".join(series[1:]).encode(), digest_size=_UID_LETTERS // 2).hexdigest()
