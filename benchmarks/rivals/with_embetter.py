"""Embetter as its README shows it: a pipeline of ImageLoader and TimmEncoder, whose array is saved at the end.

python with_embetter.py IMAGES OUT NETWORK
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from embetter.vision import ImageLoader, TimmEncoder
from sklearn.pipeline import make_pipeline


def main(images, out, network):
    files = sorted(Path(images).rglob("*.png"), key=lambda file: file.name)
    features = make_pipeline(ImageLoader(), TimmEncoder(network)).fit_transform([str(file) for file in files])
    np.savez(Path(out) / "vectors.npz", names=[file.name for file in files], features=features)


if __name__ == "__main__":
    main(*sys.argv[1:])
