"""The way of the MedMNIST+ study's scripts: batches of 256 by four workers, eager float32, one npz at the very end.

As there, the network is frozen, but stays in training mode: its batch norms take each batch's own statistics. The
scripts pad smaller images to 224 px and resize none; these have 224 px. Written for this comparison, nothing is copied.

    python with_medmnist_plus.py IMAGES OUT NETWORK
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import timm
import torch
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder


def main(images, out, network):
    net = timm.create_model(network, pretrained=True)
    for parameter in net.parameters():
        parameter.requires_grad = False
    look = net.default_cfg
    seen = transforms.Compose([transforms.ToTensor(), transforms.Normalize(look["mean"], look["std"])])
    pictures = ImageFolder(images, transform=seen)
    features = []
    with torch.no_grad():
        for batch, _ in DataLoader(pictures, batch_size=256, num_workers=4):
            features.append(net.forward_head(net.forward_features(batch), pre_logits=True).numpy())
    names = [Path(file).name for file, _ in pictures.samples]
    np.savez(Path(out) / "vectors.npz", names=names, features=np.concatenate(features))


if __name__ == "__main__":
    main(*sys.argv[1:])
