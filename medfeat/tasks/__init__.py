"""Tasks: which question is asked of a store. Labels, splits and classes per sample id; no torch, no images.

Everything is joined by id; where a row lies in a store never says which sample it is.
"""

from __future__ import annotations

from medfeat.tasks.binding import bound, find_task, images_of, keep_task, tasks_folder, tasks_of, unlike_images
from medfeat.tasks.check import check_task, subset
from medfeat.tasks.classes import align, drop, keep, relabel
from medfeat.tasks.few_shot import VAL_SHOTS, FewShot, few_shot
from medfeat.tasks.file import dataset_tasks, load_task, save_task, task_names, task_path
from medfeat.tasks.fusion import FusedStore, fuse
from medfeat.tasks.labels_file import from_csv
from medfeat.tasks.official import OFFICIAL, official
from medfeat.tasks.samples import Samples, Split, gather

__all__ = [
    "OFFICIAL",
    "VAL_SHOTS",
    "FewShot",
    "FusedStore",
    "Samples",
    "Split",
    "align",
    "bound",
    "check_task",
    "dataset_tasks",
    "drop",
    "few_shot",
    "find_task",
    "from_csv",
    "fuse",
    "gather",
    "images_of",
    "keep",
    "keep_task",
    "load_task",
    "official",
    "relabel",
    "save_task",
    "subset",
    "task_names",
    "task_path",
    "tasks_folder",
    "tasks_of",
    "unlike_images",
]
