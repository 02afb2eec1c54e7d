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
    from medfeat.backbones import backbone_from, backbone_names, load_backbone
    from medfeat.datasets import dataset_from, dataset_names, open_dataset
    from medfeat.workflows.audit import audit
    from medfeat.workflows.compare import compare
    from medfeat.workflows.cross_validate import cross_validate
    from medfeat.workflows.embed import embed
    from medfeat.workflows.explore import explore
    from medfeat.workflows.export import export
    from medfeat.workflows.extract import extract
    from medfeat.workflows.few_shot import few_shot
    from medfeat.workflows.finetune import finetune
    from medfeat.workflows.fusion import fuse
    from medfeat.workflows.load import load
    from medfeat.workflows.predict import predict
    from medfeat.workflows.probe import probe
    from medfeat.workflows.report import write_report
    from medfeat.workflows.robustness import robustness
    from medfeat.workflows.runs import list_of_runs
    from medfeat.workflows.search import search
    from medfeat.workflows.study import study
    from medfeat.workflows.transfer import transfer
    from medfeat_cache import FeatureStore

_WHERE = {
    "FeatureStore": "medfeat_cache",
    "audit": "medfeat.workflows.audit",
    "backbone_from": "medfeat.backbones",
    "backbone_names": "medfeat.backbones",
    "compare": "medfeat.workflows.compare",
    "cross_validate": "medfeat.workflows.cross_validate",
    "dataset_from": "medfeat.datasets",
    "dataset_names": "medfeat.datasets",
    "embed": "medfeat.workflows.embed",
    "explore": "medfeat.workflows.explore",
    "export": "medfeat.workflows.export",
    "extract": "medfeat.workflows.extract",
    "few_shot": "medfeat.workflows.few_shot",
    "finetune": "medfeat.workflows.finetune",
    "fuse": "medfeat.workflows.fusion",
    "list_of_runs": "medfeat.workflows.runs",
    "load": "medfeat.workflows.load",
    "load_backbone": "medfeat.backbones",
    "open_dataset": "medfeat.datasets",
    "predict": "medfeat.workflows.predict",
    "probe": "medfeat.workflows.probe",
    "robustness": "medfeat.workflows.robustness",
    "search": "medfeat.workflows.search",
    "study": "medfeat.workflows.study",
    "transfer": "medfeat.workflows.transfer",
    "write_report": "medfeat.workflows.report",
}

__all__ = [
    "FeatureStore",
    "__version__",
    "audit",
    "backbone_from",
    "backbone_names",
    "compare",
    "cross_validate",
    "dataset_from",
    "dataset_names",
    "embed",
    "explore",
    "export",
    "extract",
    "few_shot",
    "finetune",
    "fuse",
    "list_of_runs",
    "load",
    "load_backbone",
    "open_dataset",
    "predict",
    "probe",
    "robustness",
    "search",
    "study",
    "transfer",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name in ("extend", "sklearn"):
        return import_module(f"medfeat.{name}")
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
