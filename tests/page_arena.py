"""A desk on which everything lies that pages, help texts and messages name: made-up data, small networks, a cache."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from medfeat.backbones.backbone_table import BACKBONES
from medfeat.datasets.entry import DATASETS
from medfeat.datasets.medmnist import medmnist_info
from medfeat.datasets.medmnist_table import medmnist_sets
from small_networks import DINO, in_hub, put_dino, put_texts, put_timm

# Official sets by name and size: files of their form and few images lie where theirs would.
SETS = {"bloodmnist": (28,), "breastmnist": (28, 224), "chestmnist": (28,), "adrenalmnist3d": (28, 64)}
COUNTS = {"train": 64, "val": 32, "test": 32}
VOLUMES = {"train": 8, "val": 4, "test": 4}
# Networks by name: small ones of the same kind, whose random weights lie where theirs would.
CONVOLUTIONS, TOKENS = "test_resnet.r160_in1k", "test_vit.r160_in1k"
NETWORKS = {
    **dict.fromkeys(("resnet18", "resnet50", "resnet101", "densenet121"), CONVOLUTIONS),
    **dict.fromkeys(("vit_base", "dinov2_s", "dinov2_l"), TOKENS),
}
CLIP = "openai/clip-vit-base-patch16"
SIDE = 32


@contextmanager
def stand_ins(home: Path) -> Iterator[pytest.MonkeyPatch]:
    """Let official sets and networks be the small ones of `home`, which is the home folder meanwhile."""
    patch = pytest.MonkeyPatch()
    _put_networks(home / "hub")
    (home / ".medmnist").mkdir()
    kept = {name: DATASETS[name] for name in SETS}, {name: BACKBONES[name] for name in (*NETWORKS, "rad_dino")}
    try:
        patch.setenv("HOME", str(home))
        patch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(home / "hub"))
        patch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        for name, sizes in SETS.items():
            _put_set(name, sizes, home / ".medmnist", patch)
        for name, small in NETWORKS.items():
            was = BACKBONES[name]
            dim, options = (96, {}) if small == CONVOLUTIONS else (64, {"img_size": SIDE})
            info = replace(was.info, source="timm", source_id=small, dim=dim, input_size=SIDE, resize=SIDE)
            BACKBONES.replace(name, replace(was, info=info, options=options))
        was = BACKBONES["rad_dino"]
        info = replace(was.info, dim=DINO["hidden_size"], input_size=DINO["image_size"], resize=DINO["image_size"])
        BACKBONES.replace("rad_dino", replace(was, info=info, options={"config": "Dinov2Config", **DINO}))
        yield patch
    finally:
        patch.undo()
        for name, entry in kept[0].items():
            DATASETS.replace(name, entry)
        for name, network in kept[1].items():
            BACKBONES.replace(name, network)


def _put_networks(hub: Path) -> None:
    for name in {*NETWORKS.values()}:
        put_timm(hub, name)
    put_texts(in_hub(hub, CLIP))


def _put_set(name: str, sizes: Sequence[int], folder: Path, patch: pytest.MonkeyPatch) -> None:
    facts, rng = medmnist_sets()[name], np.random.default_rng(len(name))
    files = dict(facts.files)
    classes = len(facts.classes)
    many, counts = facts.task == "multi-label", COUNTS if facts.ndim == 2 else VOLUMES
    for size in sizes:
        arrays = {}
        for group, n in counts.items():
            labels = rng.integers(0, 2, (n, classes)) if many else (np.arange(n) % classes)[:, None]
            shape = (size,) * facts.ndim + ((3,) if facts.channels == 3 else ())
            brightness = 200 * labels[:, :1].reshape(-1, *[1] * len(shape)) / classes
            arrays[f"{group}_images"] = (brightness + rng.integers(0, 56, (n, *shape))).astype(np.uint8)
            arrays[f"{group}_labels"] = labels.astype(np.uint8)
        path = folder / files[size].filename
        np.savez(path, **arrays)
        files[size] = replace(files[size], md5=hashlib.md5(path.read_bytes()).hexdigest())
    small = replace(facts, files=files, counts=counts)
    patch.setitem(medmnist_sets(), name, small)

    told = {size: medmnist_info(small, size, f"md5:{file.md5}") for size, file in files.items()}
    DATASETS.replace(name, replace(DATASETS[name], counts=counts, known=told.__getitem__))


def lay(desk: Path) -> None:
    """Put files on the desk by the names that pages give them."""
    rng = np.random.default_rng(0)
    (desk / "new_images").mkdir(parents=True)
    for i in range(6):
        Image.fromarray(rng.integers(0, 256, (28, 28), np.uint8)).save(desk / "new_images" / f"{i}.png")
    ids = np.array([f"img_{i:02d}.png" for i in range(80)])
    X, y = rng.normal(size=(80, 6)).astype("f4"), np.arange(80) % 2
    np.savez(desk / "features.npz", features=X + y[:, None], ids=ids, labels=y)
    (desk / "ids.txt").write_text("\n".join(ids))
    official = [f"{group}/{row}" for group, n in COUNTS.items() for row in range(n)]
    _table(desk / "labels.csv", "id,label", official, lambda i: ("benign", "malignant")[i % 3 == 0])
    _table(desk / "hospitals.csv", "id,hospital", official, lambda i: "ABC"[i % 3])
    (desk / "small.toml").write_text('data = "breastmnist"\nbackbone = "stats"\nhead = "knn"\nresamples = 20\n')
    _clinic(desk)
    _own_weights(desk)


def _clinic(desk: Path) -> None:
    """Two images a patient, listed with their patients."""
    rng = np.random.default_rng(1)
    (desk / "clinic").mkdir()
    for i in range(60):
        Image.fromarray(rng.integers(0, 256, (28, 28), np.uint8)).save(desk / "clinic" / f"{i:02d}.png")
    names = [f"clinic/{i:02d}.png" for i in range(60)]
    _table(desk / "clinic.csv", "path,label,patient", names, lambda i: f"{'ab'[i // 2 % 2]},P{i // 2:02d}")


def _table(path: Path, head: str, ids: Sequence[str], rule: Callable[[int], str]) -> None:
    path.write_text("\n".join([head, *(f"{name},{rule(i)}" for i, name in enumerate(ids))]) + "\n")


def _own_weights(desk: Path) -> None:
    import timm
    from safetensors.torch import save_file

    torch.manual_seed(1)
    torch.save(timm.create_model(CONVOLUTIONS, pretrained=False).state_dict(), desk / "my_resnet18.pth")
    save_file(timm.create_model(TOKENS, pretrained=False).state_dict(), desk / "vit.safetensors")
    put_dino(desk / "folder/of/a/saved/model")
