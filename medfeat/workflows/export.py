"""`medfeat export`: a run as a folder that works wherever it is taken, and as one ONNX graph."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from medfeat.backbones import takes_raw
from medfeat.backbones.weights.weights_file import tuning_of
from medfeat.counted import counted
from medfeat.errors import DataError, UsageError
from medfeat.evaluation.runs.saved_probe import SavedProbe, load_probe, refuse_patients
from medfeat.evaluation.runs.write_run import writing
from medfeat.extraction.ask.made_from import MadeFrom, NetworkThen, RemakeOptions
from medfeat.extraction.remake import load_again
from medfeat.saying import heard
from medfeat.types import Progress
from medfeat.workflows.asking.given_names import refuse_objects
from medfeat.workflows.results.bundle import write_bundle
from medfeat.workflows.runs import named_run
from medfeat.workflows.tuning.onnx_graph import TOLERANCE, require_onnx, write_onnx
from medfeat_cache import resolve_root, slug

_ONNX_FILE = "network.onnx"


@dataclass(frozen=True)
class ExportReport:
    """What was written.

    Attributes
    ----------
    run
        Key of the run.
    folder
        Where.
    files
        Bytes by name.
    onnx_difference
        Largest difference of a score between the ONNX graph and medfeat; None where no graph was asked for.
    """

    run: str
    folder: Path
    files: dict[str, int]
    onnx_difference: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {
            "run": self.run,
            "folder": str(self.folder),
            "files": self.files,
            "onnx_difference": self.onnx_difference,
        }

    def lines(self) -> list[str]:
        """Return it for people."""
        total = sum(self.files.values()) / 1e6
        found = [f"run {self.run[:12]} is in {self.folder}: {counted(len(self.files), 'file')}, {total:.1f} MB"]
        if self.onnx_difference is not None:
            found.append(
                f"{_ONNX_FILE} gives medfeat's scores to {self.onnx_difference:.1e} ({TOLERANCE:.0e} is allowed)"
            )
        return found


def export(
    run: str | Path,
    out: str | Path | None = None,
    *,
    data: str | None = None,
    onnx: bool = False,
    weights: str | Path | None = None,
    offline: bool = False,
    trust_remote_code: bool = False,
    cache_dir: str | Path | None = None,
    progress: Progress | None = None,
) -> ExportReport:
    """Write a run, network included, into a folder of its own.

    Parameters
    ----------
    run
        Folder of a run, the beginning of its key, or ``best``.
    out
        The folder, which must not be there or be empty; by default named after the run, where the command is given.
    data
        With ``best``: the dataset whose best run is meant, see `medfeat.predict`.
    onnx
        Also write one graph from pixels to scores, checked against medfeat.
    weights
        Where the network's weights are now, if not where they were.
    offline, trust_remote_code
        As in `medfeat.extract`.
    cache_dir
        Where runs live.
    progress
        Hears what is said on the way. None is a bar in a notebook and a log elsewhere; `medfeat.types.SilentProgress()`
        shows nothing.

    Returns
    -------
    ExportReport
        Folder, files, and how near the graph comes.

    Raises
    ------
    UsageError
        A run that is not there, one without a network, a folder that holds something.
    MissingExtraError
        `onnx` was asked for and is not installed.
    MedfeatError
        The graph does not give medfeat's scores: nothing is written then.
    """
    if onnx:
        require_onnx()
    progress = heard(progress)
    refuse_objects(run=run)
    probe = load_probe(named_run(resolve_root(cache_dir), run, data=data, say=progress.say))
    refuse_patients(probe)
    network = _network(probe)
    name = slug(f"{probe.run.dataset}-{probe.run.backbone}-{probe.run.key[:12]}")
    folder = Path(out) if out is not None else Path(name)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is there and not empty: name another folder with --out")
    options = RemakeOptions(weights=weights, offline=offline, trust_remote_code=trust_remote_code)
    backbone = load_again(network, options)
    module: nn.Module = backbone.module.network  # type: ignore[assignment]  # what every embedder has
    told = weights or network.path
    with writing(folder) as hidden:
        write_bundle(probe, module, tuning_of(told) if told else None, hidden)
        found = write_onnx(probe, backbone, hidden / _ONNX_FILE) if onnx else None
        # as another person would
        load_again(_network(load_probe(hidden)), replace(options, weights=None, offline=True))
    files = {path.relative_to(folder).as_posix(): path.stat().st_size for path in folder.rglob("*") if path.is_file()}
    return ExportReport(probe.run.key, folder, files, found)


def _network(probe: SavedProbe) -> NetworkThen:
    """Return the network of a run, or say that there is none."""
    name = f"run {probe.run.key[:12]}"
    if len(probe.parts()) > 1:
        raise UsageError(f"{name} reads {len(probe.parts())} stores side by side: only a run on one store is exported")
    network = MadeFrom.of(probe.recipe, probe.info).network
    if network is None:
        raise DataError(f"the features of {name} were not made by medfeat: there is no network to export")
    if takes_raw(network.name):
        raise UsageError(f"{name} is on {probe.run.backbone}, which is no network: nothing to export")
    return network
