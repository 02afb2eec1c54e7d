"""Who is compared with medfeat: each one's script, environment and network, and how its vectors are read."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from rival_networks import LITE, RESNET, SCRIPTS, SIMCLR, VIT

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Rival:
    """A tool, or a way of doing it, with the network that it is given."""

    name: str
    script: str
    does: str
    """What it was asked for, in a few words."""
    network: str = LITE
    environment: str = ""
    """Its folder under MEDFEAT_RIVALS; empty where medfeat's own has all it needs."""
    package: str = ""
    """Whose version is told; empty for a pattern."""
    crop: bool = True
    """Whether it takes the middle of an image enlarged to 256 px, or the image as it is."""
    by_path: bool = False
    """Whether it is given the network's folder instead of its name."""
    keeps: bool = True
    """Whether it leaves vectors."""

    def python(self):
        folder = Path(os.environ.get("MEDFEAT_RIVALS", ""))
        return folder / self.environment / "bin" / "python" if self.environment else Path(sys.executable)

    def missing(self):
        """Say why it cannot be run here, None if it can."""
        return None if self.python().exists() else f"there was no environment with {self.package}"

    def version(self):
        if not self.package or self.missing():
            return ""
        script = f"from importlib.metadata import version; print(version({self.package!r}))"
        done = subprocess.run([self.python(), "-c", script], capture_output=True, text=True, check=False)
        return done.stdout.strip()

    def command(self, images, out, network):
        return [self.python(), SCRIPTS / self.script, images, out, network if self.by_path else self.network]


@dataclass(frozen=True)
class Medfeat(Rival):
    """medfeat itself, by its command; `{network}` among the arguments is the network's folder."""

    arguments: tuple[str, ...] = ()

    def command(self, images, out, network):
        words = ["-m", "medfeat", "extract", "--data", images, "--cache-dir", out, "--fit", "reference", "--offline"]
        return [sys.executable, *words, *(one.replace("{network}", str(network)) for one in self.arguments)]


def medfeat_with(network, *arguments, does="precision measured", name="medfeat"):
    return Medfeat(name, "", does, network, package="medfeat", arguments=("--backbone", *arguments))


def embedders(lite):
    """Return who embeds, by network; the first stands in for others where nothing is measured."""
    timm = f"timm:{lite}"
    return {
        "EfficientNet-Lite0 of timm": [
            medfeat_with(lite, timm),
            Rival("MedMNIST+ study's scripts", "with_medmnist_plus.py", "pattern; float32", lite, crop=False),
            Rival("BioFuse", "with_biofuse.py", "pattern; float32", lite, crop=False),
            Rival("embetter", "with_embetter.py", "TimmEncoder; float32", lite, "embetter", "embetter"),
            Rival("thingsvision", "with_thingsvision.py", "timm; float32", lite, "thingsvision", "thingsvision"),
            Rival(
                "slide2vec", "with_slide2vec.py", "embed_images; float32", lite, "slide2vec", "slide2vec", crop=False
            ),
        ],
        "ResNet-18 of transformers": [
            medfeat_with(RESNET, f"hf:{RESNET}"),
            Rival(
                "transformers", "with_transformers.py", "pipeline; float32", RESNET, "", "transformers"
            ),
        ],
        "ResNet-18 of LightlyTrain": [
            medfeat_with(SIMCLR, "resnet18", "--weights", "{network}/exported_models/exported_last.pt"),
            Rival(
                "LightlyTrain", "with_lightly_train.py", "embed; float32", SIMCLR, "lightly-train", "lightly-train",
                crop=False, by_path=True,
            ),
        ],
        "ViT-B/32 of open_clip": [
            medfeat_with(VIT, "timm:vit_base_patch32_clip_224.laion2b", "--weights", "{network}/clip.pt"),
            Rival(
                "CLIP_benchmark", "with_clip_benchmark.py", "zero-shot, mixed precision", VIT, "clip_benchmark",
                "clip_benchmark", by_path=True, keeps=False,
            ),
        ],
    }  # fmt: skip


def vectors_of(out):
    """Read the vectors that a tool left: names of files to rows; empty where it left none that can be read."""
    found = {}
    for file in sorted(Path(out).rglob("*")):
        if file.suffix in READERS and not any(part.startswith(".") for part in file.relative_to(out).parts):
            try:
                found |= READERS[file.suffix](file)
            except Exception as error:  # a file that cannot be read holds no vectors
                print(f"{file.name}: {error}")
    return found


def _npz(file):
    with np.load(file) as arrays:
        return dict(zip(map(str, arrays["names"]), arrays["features"], strict=True))


def _npy(file):
    names = (file.parent / "file_names.txt").read_text().split()
    return dict(zip((Path(name).name for name in names), np.load(file), strict=True))


def _pickled(file):
    kept = pickle.loads(file.read_bytes())
    return dict(zip(kept["names"], kept["embeddings"], strict=True))


def _torch(file):
    kept = torch.load(file, weights_only=True)
    if isinstance(kept, torch.Tensor):
        return {f"{file.stem}.png": kept.float().numpy()}
    names = kept.get("filenames", kept.get("filename"))
    return {Path(name).name: row.numpy() for name, row in zip(names, kept["embeddings"], strict=True)}


def _store(file):
    from medfeat_cache import FeatureStore

    with FeatureStore(file, verify=True) as store:
        return {
            Path(str(name)).name: row
            for group in store.groups
            for name, row in zip(store.ids(group), np.array(store.embeddings(group)), strict=True)
        }


READERS = {".npz": _npz, ".npy": _npy, ".pkl": _pickled, ".pt": _torch, ".h5": _store}
