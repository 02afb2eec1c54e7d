"""What is to be embedded, with what, and how, from what a person typed or a program holds to checked values."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast, get_args

from medfeat.backbones import BACKBONES, Entry, registered
from medfeat.comma_lists import as_names
from medfeat.datasets import DATASETS
from medfeat.errors import UsageError
from medfeat.extraction.ask.as_stored import DTYPES
from medfeat.extraction.ask.request import Request
from medfeat.registry import Registry
from medfeat.types import Fit, Precision, Progress, View
from medfeat.workflows.asking.data_options import DataOptions, ObjectSource, Source
from medfeat_cache.commands import command


def _wanted_data(
    data: object, ids: Sequence[str] | None, labels: Sequence[Any] | None, progress: Progress
) -> tuple[Source, ...]:
    """Return what is to be embedded: names and paths as they are, what a program holds as one object."""
    if isinstance(data, (list, tuple)) and any(isinstance(one, str) and one in DATASETS for one in data):
        for one in data:
            DATASETS[
                str(one)
            ]  # a list of names is one of names only: a mistyped one is said, with those that are close
        data = ",".join(data)
    if not isinstance(data, (str, Path)):
        return (ObjectSource(data, ids, labels),)
    if ids is not None:
        raise UsageError("ids are for images that a program holds; those of files and sets are their own")
    if labels is not None:
        raise UsageError("labels are for images that a program holds; medfeat.probe takes a CSV for those of files")
    names = as_names(str(data))
    if isinstance(data, Path) or _is_there(str(data)):
        return (str(data),)
    if not names:
        raise UsageError(
            f"--data is empty: name a dataset (see {command('list', 'datasets')}), or a folder, CSV or npz"
        )
    return _without_broken(DATASETS, progress) if names == ("all",) else names


def _without_broken(registry: Registry[Any], progress: Progress) -> tuple[str, ...]:
    """Return every name, but for those of packages that are broken, which are said."""
    broken = registry.problems()
    for problem in broken.values():
        progress.say(f"left out: {problem}")
    return tuple(name for name in registry if name not in broken)


def _is_there(data: str) -> bool:
    try:
        return data not in DATASETS and Path(data).exists()
    except OSError:  # a comma list can be longer than any file name
        return False


def _wanted_networks(
    backbone: str | Entry | Sequence[str | Entry], request: Request, progress: Progress
) -> tuple[str, ...]:
    """Return the names of the networks that are wanted; one that is given as it is becomes known by its name."""
    names = as_names(backbone) if isinstance(backbone, str) else as_names(_as_known(backbone))
    if not names:
        raise UsageError(f"--backbone is empty: name one or more (see {command('list', 'backbones')})")
    names = _without_broken(BACKBONES, progress) if names == ("all",) else names
    if len(names) > 1 and request.weights not in (None, "random"):
        raise UsageError(
            f"--weights {request.weights} fits one backbone, got {len(names)}: name one, or drop --weights"
        )
    return names


def _as_known(backbone: Entry | Sequence[str | Entry]) -> list[str]:
    """Return the names of backbones of which some are given as they are; these are known by name from then on."""
    every: Sequence[Any] = backbone if isinstance(backbone, (list, tuple)) else [backbone]
    strange = next((one for one in every if not isinstance(one, (str, Entry))), None)
    if strange is not None:
        raise UsageError(
            f"a backbone is a name, or a network from medfeat.backbone_from(module, input_size=..., mean=..., "
            f"std=...), got a {type(strange).__name__}"
        )
    return [one if isinstance(one, str) else registered(one) for one in every]


def wanted_views(
    layer: str | Sequence[str] | None = None,
    pool: str | Sequence[str] | None = None,
    slices: str | Sequence[str] | None = None,
) -> tuple[View, ...]:
    """Return a view for each layer, pooling and slice policy that is named."""
    parts = ([None] if part is None else list(as_names(part)) or [None] for part in (layer, pool, slices))
    return tuple(View(*choice) for choice in itertools.product(*parts))


def wanted_request(
    views: tuple[View, ...],
    *,
    fit: str = "whole",
    precision: str = "auto",
    batch_size: int | str = "auto",
    dtype: str = "float32",
    weights: str | Path | None = None,
    seed: int = 0,
    adapt: bool = False,
    offline: bool = False,
    trust_remote_code: bool = False,
    recheck: bool = False,
    compile: bool = True,
) -> Request:
    """Take how to embed as a person says it; what may be mistyped is refused by name.

    Parameters
    ----------
    views
        From `wanted_views`.
    fit, precision, batch_size, dtype, weights, seed, adapt, offline, trust_remote_code, recheck, compile
        As `medfeat.extract` takes them.
    """
    return Request(
        weights=None if weights is None else str(weights),
        seed=seed,
        adapt=adapt,
        views=views,
        fit=_checked_fit(fit),
        precision=_checked_precision(precision),
        batch_size=_checked_batch(batch_size),
        dtype=_checked_dtype(dtype),
        offline=offline,
        trust_remote_code=trust_remote_code,
        recheck=recheck,
        compile=compile,
    )


@dataclass(frozen=True)
class Wanted:
    """What is to be embedded, with what, and how.

    Attributes
    ----------
    data, backbone, ids
        As `medfeat.extract` takes them.
    request
        How to embed.
    options
        How the data is opened.
    cache_dir
        Where stores live; None means the usual place.
    labels
        As `medfeat.extract` takes them.
    """

    data: object
    backbone: str | Entry | Sequence[str | Entry]
    request: Request
    options: DataOptions = field(default_factory=DataOptions)
    ids: Sequence[str] | None = None
    cache_dir: str | Path | None = None
    labels: Sequence[Any] | None = None

    def sources(self, progress: Progress) -> tuple[Source, ...]:
        """Return the datasets, checked."""
        return _wanted_data(self.data, self.ids, self.labels, progress)

    def networks(self, progress: Progress) -> tuple[str, ...]:
        """Return the names of the networks, checked."""
        return _wanted_networks(self.backbone, self.request, progress)


def _checked_fit(fit: str) -> Fit:
    if fit not in get_args(Fit):
        raise UsageError(f"--fit must be one of {', '.join(get_args(Fit))}, got {fit!r}")
    return cast(Fit, fit)


def _checked_precision(precision: str) -> str:
    allowed = ("auto", *get_args(Precision))
    if precision not in allowed:
        raise UsageError(f"--precision must be one of {', '.join(allowed)}, got {precision!r}")
    return precision


def _checked_dtype(dtype: str) -> str:
    if dtype not in DTYPES:
        raise UsageError(f"--dtype must be {' or '.join(DTYPES)}, got {dtype!r}")
    return dtype


def _checked_batch(batch_size: int | str) -> int | None:
    if batch_size == "auto":
        return None
    try:
        number = int(batch_size)
    except ValueError as error:
        raise UsageError(f"--batch-size must be auto or a positive whole number, got {batch_size!r}") from error
    if number < 1:
        raise UsageError(f"--batch-size must be auto or a positive whole number, got {number}")
    return number
