"""CLIP_benchmark's command on own images as webdataset: zero-shot, its only task of classes that runs without CUDA.

    python with_clip_benchmark.py IMAGES OUT FOLDER
    python with_clip_benchmark.py - FOLDER prepare

The second saves a ViT-B-32 of open_clip with random weights in FOLDER. Images are packed before the command starts.
"""

from __future__ import annotations

import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path

SHARDS = 4  # its workers, of which each wants one


def packed(images, folder):
    """Pack images as CLIP_benchmark wants them."""
    shard, classes = folder / "test", sorted(one.name for one in Path(images).iterdir())
    shard.mkdir(parents=True, exist_ok=True)
    files = sorted(Path(images).rglob("*.png"), key=lambda file: file.name)
    for number in range(SHARDS):
        with tarfile.open(shard / f"{number}.tar", "w") as tar:
            for file in files[number::SHARDS]:
                tar.add(file, f"{file.stem}.png")
                label = str(classes.index(file.parent.name)).encode()
                facts = tarfile.TarInfo(f"{file.stem}.cls")
                facts.size = len(label)
                tar.addfile(facts, BytesIO(label))
    (shard / "nshards.txt").write_text(str(SHARDS))
    (folder / "classnames.txt").write_text("\n".join(classes))
    (folder / "zeroshot_classification_templates.txt").write_text("a photo of {c}")
    return folder


def main(images, out, folder):
    if folder == "prepare":
        import open_clip
        import torch

        torch.manual_seed(0)
        Path(out).mkdir(parents=True)
        torch.save(open_clip.create_model("ViT-B-32").state_dict(), Path(out) / "clip.pt")
        return
    data = packed(images, Path(folder) / Path(images).name)
    command = [Path(sys.executable).parent / "clip_benchmark", "eval", "--dataset", "wds/own", "--dataset_root", data]
    command += ["--model", "ViT-B-32", "--pretrained", Path(folder) / "clip.pt", "--task", "zeroshot_classification"]
    command += ["--output", Path(out) / "scores.json", "--num_workers", str(SHARDS)]
    sys.exit(subprocess.run([*map(str, command)], check=False).returncode)


if __name__ == "__main__":
    main(*sys.argv[1:])
