"""A network and its linear head as one ONNX graph, written only where it gives medfeat's own scores."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from medfeat.backbones import Backbone
from medfeat.errors import MedfeatError, MissingExtraError, UsageError, first_line
from medfeat.evaluation.runs.saved_probe import SavedProbe
from medfeat.extraction.network.preprocess import Preprocess
from medfeat.heads.linear import LinearProbe
from medfeat.heads.ridge import RidgeProbe
from medfeat.workflows.tuning.finetune_start import Start
from medfeat_cache.commands import command

TOLERANCE = 1e-4
"""Largest difference allowed between a score of the graph and medfeat's, in float32."""
_CHECKED = 4


def require_onnx() -> None:
    """Refuse where ONNX is not installed.

    Raises
    ------
    MissingExtraError
        Naming the extra that installs it.
    """
    for package in ("onnx", "onnxscript", "onnxruntime"):
        try:
            __import__(package)
        except ImportError as error:
            raise MissingExtraError.of("--onnx needs", package, "onnx", error) from error


def write_onnx(probe: SavedProbe, backbone: Backbone, path: Path) -> float:
    """Write the graph, run it beside medfeat on made-up images, and return the largest difference of a score.

    Parameters
    ----------
    probe
        A linear head (for numbers, ridge regression).
    backbone
        Its network.
    path
        Where to.

    Raises
    ------
    UsageError
        Another head, or volumes.
    MedfeatError
        The network cannot be written as a graph, or the graph gives other scores.
    """
    name = f"run {probe.run.key[:12]}"
    if not isinstance(probe.model, LinearProbe | RidgeProbe):
        asked = command("probe", data=probe.run.dataset, backbone=probe.run.backbone, head="linear")
        raise UsageError(
            f"--onnx: {name} has the head {probe.run.head}: only a linear head is written as a graph; {asked} makes one"
        )
    if backbone.views[0].slices is not None:
        raise UsageError(f"--onnx: {name} is of volumes, whose slices do not go through one graph: leave --onnx out")
    whole = _Whole(probe, backbone).eval()
    size = backbone.info.input_size
    images = np.random.default_rng(0).integers(0, 256, (_CHECKED, size, size, 3), dtype=np.uint8)
    pixels = images.transpose(0, 3, 1, 2).astype(np.float32)
    with torch.no_grad():
        rows = backbone.module(Preprocess(backbone.info)(torch.from_numpy(images)))[0]
    expected = probe.scores(rows.float().numpy())
    try:
        found = _written(whole, torch.from_numpy(pixels), path)
    except MedfeatError:
        raise
    except Exception as error:  # whatever a network does that a graph cannot
        raise MedfeatError(f"--onnx: {name} cannot be written as a graph ({first_line(error)})") from error
    difference = float(np.abs(found - expected).max())
    if not difference <= TOLERANCE:
        raise MedfeatError(f"--onnx: the graph of {name} differs by {difference:.1e} ({TOLERANCE:.0e} is allowed)")
    return difference


def _written(whole: nn.Module, pixels: torch.Tensor, path: Path) -> NDArray[np.float32]:
    """Write a graph for any number of images, and return what it makes of some."""
    import onnxruntime

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, about its own parts
        torch.onnx.export(
            whole,
            (pixels,),
            path,
            input_names=["pixels"],
            output_names=["scores"],
            dynamic_shapes=({0: torch.export.Dim("images")},),
            external_data=False,
            dynamo=True,
            verbose=False,
        )
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    # another number of images than it was traced with
    parts = [session.run(None, {"pixels": part.numpy()})[0] for part in torch.split(pixels, _CHECKED - 1)]
    return np.concatenate(parts)


class _Whole(nn.Module):
    """From (n, 3, S, S) colour levels 0 to 255, resized as the card says, to (n, c) scores."""

    scale: torch.Tensor
    shift: torch.Tensor
    weight: torch.Tensor
    bias: torch.Tensor
    place: torch.Tensor
    base: torch.Tensor

    def __init__(self, probe: SavedProbe, backbone: Backbone) -> None:
        super().__init__()
        self.network, model = backbone.module, probe.model
        mean, std = (np.array(part, np.float64).reshape(1, 3, 1, 1) for part in (backbone.info.mean, backbone.info.std))
        head = Start(probe.run, model).head(probe.task_type)
        weight = np.atleast_2d(head.coef) / head.scale
        self.link, self.binary = head.link, head.link == "sigmoid" and probe.task_type != "multi-label"
        place, base = np.eye(len(weight)), np.zeros(len(weight))
        if isinstance(model, LinearProbe):  # a class that train has not is never the answer
            place = np.eye(model.n_classes)[model.present_]
            base = np.zeros(model.n_classes)
            if probe.task_type == "multi-label":
                base = np.where(place.sum(axis=0) > 0, 0.0, model.chance_)
        values = {
            "scale": 1 / (255 * std),
            "shift": -mean / std,
            "weight": weight,
            "bias": head.intercept - weight @ head.mean,
            "place": place,
            "base": base,
        }
        for name, value in values.items():
            self.register_buffer(name, torch.tensor(value, dtype=torch.float32))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        rows = self.network(pixels * self.scale + self.shift)[0]
        outputs = nn.functional.linear(rows, self.weight, self.bias)
        if self.link == "identity":
            return outputs
        odds = outputs.softmax(dim=1) if self.link == "softmax" else outputs.sigmoid()
        odds = torch.cat([1 - odds, odds], dim=1) if self.binary else odds
        return odds @ self.place + self.base
