"""LightlyTrain's `embed`, which takes a checkpoint of its own: one of a single epoch over twenty images.

python with_lightly_train.py IMAGES OUT FOLDER
python with_lightly_train.py IMAGES FOLDER pretrain
"""

from __future__ import annotations

import sys
from pathlib import Path

import lightly_train


def main(images, out, folder):
    if folder == "pretrain":
        files = [str(file) for file in sorted(Path(images).rglob("*.png"))[:20]]
        options = {"method": "simclr", "epochs": 1, "batch_size": 20, "num_workers": 0, "accelerator": "cpu"}
        lightly_train.pretrain(out=str(out), data=files, model="torchvision/resnet18", **options)
        return
    checkpoint = Path(folder) / "checkpoints" / "last.ckpt"
    kept = Path(out) / "vectors.pt"
    lightly_train.embed(
        out=str(kept), data=images, checkpoint=str(checkpoint), format="torch", accelerator="cpu", overwrite=True
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
