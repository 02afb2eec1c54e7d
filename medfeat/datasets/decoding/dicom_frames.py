"""What an enhanced DICOM file says of each of its frames, in its functional groups."""

from __future__ import annotations

from typing import Any

from medfeat.datasets.decoding.bad_file import BadFile


def first_item(holder: Any, name: str) -> Any:
    """Return the first item of a sequence, None when there is none."""
    sequence = holder.get(name) if holder is not None else None
    return sequence[0] if sequence else None


def frame_count(file: Any) -> int:
    """Return the number of frames; a file that does not say has one."""
    return int(file.get("NumberOfFrames") or 1)


def frame_groups(file: Any, name: str) -> list[Any] | None:
    """Return what an enhanced file says of each frame: of the frame itself, or of all; None when of none."""
    frames = frame_count(file)
    shared = first_item(first_item(file, "SharedFunctionalGroupsSequence"), name)
    groups = file.get("PerFrameFunctionalGroupsSequence") or [None] * frames
    if len(groups) != frames:
        raise BadFile(f"describes {len(groups)} of its {frames} frames in PerFrameFunctionalGroupsSequence")
    own = [first_item(group, name) for group in groups]
    found = [shared if item is None else item for item in own]
    return None if all(item is None for item in found) else found
