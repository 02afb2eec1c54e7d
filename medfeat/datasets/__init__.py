"""What can be embedded: MedMNIST, the user's own images, and synthetic sets, behind one `Dataset` protocol."""

from medfeat.datasets.digests import DigestMemory
from medfeat.datasets.entry import DATASETS, DatasetEntry
from medfeat.datasets.hashing import image_hash
from medfeat.datasets.made_up.synthetic import write_synthetic
from medfeat.datasets.medmnist import default_data_root, medmnist_path
from medfeat.datasets.objects.from_objects import Given, ObjectOptions, dataset_from, open_object
from medfeat.datasets.opening import dataset_names, describe, open_dataset
from medfeat.datasets.own_images import own_name
from medfeat.datasets.splits.official_or_drawn import source_task

__all__ = [
    "DATASETS",
    "DatasetEntry",
    "DigestMemory",
    "Given",
    "ObjectOptions",
    "dataset_from",
    "dataset_names",
    "default_data_root",
    "describe",
    "image_hash",
    "medmnist_path",
    "open_dataset",
    "open_object",
    "own_name",
    "source_task",
    "write_synthetic",
]
