"""The pipeline "image-feature-extraction" of transformers, pooled, over a list of files; saved at the end.

python with_transformers.py IMAGES OUT NETWORK
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from transformers import pipeline


def main(images, out, network):
    files = sorted(Path(images).rglob("*.png"), key=lambda file: file.name)
    embed = pipeline("image-feature-extraction", model=network, pool=True)
    features = [np.ravel(one) for one in embed([str(file) for file in files])]
    np.savez(Path(out) / "vectors.npz", names=[file.name for file in files], features=np.stack(features))


if __name__ == "__main__":
    main(*sys.argv[1:])
