"""medfeat: embed every medical image once with a frozen backbone, keep the vectors, probe them in seconds.

>>> import medfeat
>>> medfeat.extract("bloodmnist", "resnet101")            # doctest: +SKIP
>>> X, y, ids = medfeat.load("bloodmnist", "resnet101", split="train")  # doctest: +SKIP
>>> medfeat.probe("bloodmnist", "resnet101")              # doctest: +SKIP

Names are loaded on first use: `import medfeat` imports neither torch nor scikit-learn.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from medfeat.backbones import backbone_names, load_backbone
    from medfeat.datasets import dataset_names, open_dataset
    from medfeat.workflows.compare import compare
    from medfeat.workflows.extract import extract
    from medfeat.workflows.load import load
    from medfeat.workflows.probe import probe
    from medfeat_cache import FeatureStore

_WHERE = {
    "FeatureStore": "medfeat_cache",
    "backbone_names": "medfeat.backbones",
    "compare": "medfeat.workflows.compare",
    "dataset_names": "medfeat.datasets",
    "extract": "medfeat.workflows.extract",
    "load": "medfeat.workflows.load",
    "load_backbone": "medfeat.backbones",
    "open_dataset": "medfeat.datasets",
    "probe": "medfeat.workflows.probe",
}

__all__ = [
    "FeatureStore",
    "__version__",
    "backbone_names",
    "compare",
    "dataset_names",
    "extract",
    "load",
    "load_backbone",
    "open_dataset",
    "probe",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
