"""What other people's packages build on: all that a head, a backbone or a dataset of your own needs, and nothing else.

A package brings what it has by entry points of the groups ``medfeat.heads``, ``medfeat.backbones`` and
``medfeat.datasets``; `docs/extend.md` shows one of each. The names here stay as they are; other modules may change.
Importing this file loads neither torch nor scikit-learn.

Heads
    `Head` yields `Candidate` values whose model is `Fitted`. Its attribute ``trusted`` lists the full names of the
    types that its models are made of, so that they can be saved and loaded. `LazyHead` names a head to import later.
    `check_split`, `class_numbers` and `refuse_task` say in one line what a head cannot learn from.
Backbones
    `Entry` holds a `BackboneInfo` and a ``build``; `backbone_from` makes one of a module.
Datasets
    `Dataset` gives `DatasetInfo`, ids, labels and `ImageBatch` values, with `BadImage` for what cannot be read.
    `DatasetEntry` opens one when it is asked for, with an `OpenRequest`; `fingerprint_of` names the content;
    `dataset_from` makes one of a torch dataset, arrays or pictures.
In one program, without a package
    ``HEADS.add(name, factory)``, ``BACKBONES.add(name, entry)``, ``DATASETS.add(name, entry)``, `registered`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from medfeat.backbones.backbone_table import BACKBONES, Entry
from medfeat.backbones.features.pooling import POOLS
from medfeat.backbones.naming import registered
from medfeat.datasets.entry import DATASETS, DatasetEntry, OpenRequest
from medfeat.datasets.hashing import fingerprint_of, image_hash
from medfeat.datasets.objects.from_objects import dataset_from
from medfeat.errors import DataError, MedfeatError, MissingFileError, UnsuitedHeadError, UsageError
from medfeat.heads.head_registry import HEADS, LazyHead
from medfeat.heads.inputs import check_split, class_numbers, refuse_task
from medfeat.types import (
    TASK_TYPES,
    BackboneInfo,
    BadImage,
    Candidate,
    Dataset,
    DatasetInfo,
    Fitted,
    FloatArray,
    Head,
    IdArray,
    ImageBatch,
    LabelArray,
    Progress,
    SilentProgress,
    TaskType,
    UInt8Array,
)

if TYPE_CHECKING:
    from medfeat.backbones.libraries.own_network import backbone_from

__all__ = [
    "BACKBONES",
    "DATASETS",
    "HEADS",
    "POOLS",
    "TASK_TYPES",
    "BackboneInfo",
    "BadImage",
    "Candidate",
    "DataError",
    "Dataset",
    "DatasetEntry",
    "DatasetInfo",
    "Entry",
    "Fitted",
    "FloatArray",
    "Head",
    "IdArray",
    "ImageBatch",
    "LabelArray",
    "LazyHead",
    "MedfeatError",
    "MissingFileError",
    "OpenRequest",
    "Progress",
    "SilentProgress",
    "TaskType",
    "UInt8Array",
    "UnsuitedHeadError",
    "UsageError",
    "backbone_from",
    "check_split",
    "class_numbers",
    "dataset_from",
    "fingerprint_of",
    "image_hash",
    "refuse_task",
    "registered",
]


def __getattr__(name: str) -> Any:
    """Import what needs torch when it is first asked for."""
    if name != "backbone_from":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from medfeat.backbones.libraries.own_network import backbone_from

    return backbone_from
