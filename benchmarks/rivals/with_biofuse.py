"""The way of BioFuse: batches of 32 by four workers, eager float32, and one pickle a network and split.

A split's pickle is named by data, network, size and split, and taken for whole if it is there. BioFuse asks for CUDA
and for networks of its own, so this is its pattern with another network, written for this comparison, not copied.

    python with_biofuse.py IMAGES OUT NETWORK
"""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import numpy as np
import timm
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms


class Pictures(Dataset):
    def __init__(self, files, look):
        self.files = files
        self.seen = transforms.Compose(
            [transforms.Resize((224, 224)), transforms.ToTensor(), transforms.Normalize(look["mean"], look["std"])]
        )

    def __len__(self):
        return len(self.files)

    def __getitem__(self, index):
        return self.seen(Image.open(self.files[index]).convert("RGB"))


def embedded(files, network):
    net = timm.create_model(network, pretrained=True, num_classes=0).eval()
    with torch.no_grad():
        batches = DataLoader(Pictures(files, net.default_cfg), batch_size=32, num_workers=4)
        return np.vstack([net(batch).numpy() for batch in batches])


def main(images, out, network):
    files = sorted(Path(images).rglob("*.png"), key=lambda file: file.name)
    first, second = int(0.7 * len(files)), int(0.8 * len(files))
    splits = {"train": files[:first], "val": files[first:second], "test": files[second:]}
    for split, mine in splits.items():
        kept = Path(out) / f"pictures_{network}_224_{split}_v1.pkl"
        if kept.exists():
            continue
        features = embedded(mine, network)
        with kept.open("wb") as file:
            pickle.dump({"embeddings": features, "names": [one.name for one in mine]}, file)


if __name__ == "__main__":
    main(*sys.argv[1:])
