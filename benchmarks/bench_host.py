"""How fast the host feeds a network: everything of an extraction but the network, whose place a null one takes.

An ordinary quick test. With MEDFEAT_BENCH=1 it takes some eight minutes of two cores and keeps its figures in
`results/host.json`: `MEDFEAT_BENCH=1 python -m pytest benchmarks/bench_host.py -s`. In one run, alternating, it
measures

- medfeat, held to 1, 2, 4 ... cores with as many workers; at the most cores also of an `.npz` it unpacked before;
- medfeat as it was before it read, hashed and decoded side by side (`BEFORE`, where git has that commit);
- the yardsticks: as many threads as cores that inflate and hash the same bytes and do nothing else, and as many
  processes of one thread that decode the same files with Pillow, and hash them.

Each of these is a process of its own that is started once and then asked in turn; of several answers the best counts,
which other work on the machine disturbs least: `cores_at_work` says how many cores it had.
"""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import machine

ROOT = Path(__file__).parents[1]
BEFORE = "489a007d7a79"
REPEATS = 5 if machine.MEASURING else 1
NPZ_BYTES = 256 << 20 if machine.MEASURING else 2 << 20
SIDES = (28, 64, 128, 224) if machine.MEASURING else (28,)
# Kind: images, side, and the contract by which they become uint8.
FILES = {
    "jpeg 500 px": (640, 500, None),
    "jpeg 2,000 px": (64, 2000, None),
    "png 500 px": (160, 500, None),
    "dicom 512 px": (160, 512, "range:0..4095"),
    "nifti 64 px": (160, 64, "range:0..4095"),
}
# Images a second that one H200 embeds at 224 px in half precision: the middle of estimates by roofline, not measured.
H200_APPETITE = {"resnet18": 55_000, "resnet50": 20_000, "resnet101": 14_000, "vit_b_16": 11_000, "vit_l_14": 2_650}

MEDFEAT = """
import json, os, sys, time, types
from pathlib import Path
import numpy as np
from medfeat.datasets import DigestMemory, open_dataset
from medfeat.extraction.loop.embed_rows import extract_rows
from medfeat.extraction.network.forward import Finished
from medfeat.types import SilentProgress
from medfeat_cache import GroupSpec, StoreWriter, recipe_digest, store_path

class Null:
    batch_size = pass_size = 64
    device, module, backoff = types.SimpleNamespace(type="cpu"), None, []
    def submit(self, images):
        return Finished([np.ones((len(images), 512), np.float32)])

data, intensity, memory, folder, workers, unpack = sys.argv[1:]
options = {"workers": int(workers)} if workers else {}
options |= {"unpack": True} if unpack else {}
dataset = open_dataset(data, intensity=intensity or None, memory=DigestMemory(Path(memory)), **options)

def run(number):
    recipe = {"dataset": "host", "backbone": "null", "number": number}
    path = store_path(Path(folder), "host", "null", recipe_digest(recipe))
    with StoreWriter.open(path, recipe=recipe, info={}, settings={}) as writer:
        writer.groups({group: GroupSpec(dataset.ids(group), None) for group in dataset.info.counts})
        cpu, wall = time.process_time(), time.perf_counter()
        figures = extract_rows(dataset, Null(), {0: writer}, part_batches=256, progress=SilentProgress())
        took = {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
        writer.discard()
    return {"images": figures.embedded, **took}
"""

INFLATE = """
import hashlib, json, sys, threading, time, zipfile, zlib
path, threads, row, library = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
if library == "zlib-ng":
    from zlib_ng import zlib_ng as zlib
packed = []
with zipfile.ZipFile(path) as archive, open(path, "rb") as file:
    for entry in archive.infolist():
        file.seek(entry.header_offset + 26)
        names = file.read(4)
        file.seek(int.from_bytes(names[:2], "little") + int.from_bytes(names[2:], "little"), 1)
        packed.append(file.read(entry.compress_size))

def work(number, done):
    for content in packed:
        inflater, left = zlib.decompressobj(-15), b""
        for start in range(0, len(content), 1 << 20):
            found = left + inflater.decompress(content[start : start + (1 << 20)])
            whole = len(found) // row * row
            for at in range(0, whole, row):
                hashlib.blake2b(memoryview(found)[at : at + row], digest_size=16).digest()
            left, done[number] = found[whole:], done[number] + whole // row

def run(_number):
    done = [0] * threads
    wall, cpu = time.perf_counter(), time.process_time()
    several = [threading.Thread(target=work, args=(number, done)) for number in range(threads)]
    for one in several:
        one.start()
    for one in several:
        one.join()
    took = {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
    return {"images": sum(done), **took}
"""

DECODE = """
import hashlib, json, sys, time
import numpy as np
from PIL import Image
hashed, files = sys.argv[1] == "hash", sys.argv[2:]

def run(_number):
    wall, cpu = time.perf_counter(), time.process_time()
    for name in files:
        with Image.open(name) as image:
            pixels = np.asarray(image.convert("RGB"))
        if hashed:
            hashlib.blake2b(pixels, digest_size=16).digest()
    took = {"seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
    return {"images": len(files), **took}
"""

# Held to some cores before anything starts a thread, and ready before anything is measured.
ASKED = """
import os
os.sched_setaffinity(0, {cores})
{script}
print("ready", flush=True)
for number, _ in enumerate(sys.stdin):
    print(json.dumps(run(number)), flush=True)
"""


def pictures(count, side, kinds=64):
    """(n, side, side, 3) uint8: smooth structure in a round field, deflated to seven tenths, much as MedMNIST is."""
    draw, made = np.random.default_rng(0), np.empty((min(count, kinds), side, side, 3), np.uint8)
    y, x = np.mgrid[-1 : 1 : side * 1j, -1 : 1 : side * 1j]
    for number in range(len(made)):
        detail = max(4, side // 20)
        coarse = Image.fromarray(draw.integers(40, 216, (detail, detail, 3), np.uint8))
        made[number] = np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC)) * (x**2 + y**2 < 1)[..., None]
    return np.take(made, np.arange(count) % len(made), axis=0)


def write_npz(folder, side):
    count = NPZ_BYTES // (side * side * 3)
    images, path = pictures(count, side), folder / f"{side}.npz"
    first, second = int(0.7 * count), int(0.8 * count)
    np.savez_compressed(path, train_images=images[:first], val_images=images[first:second], test_images=images[second:])
    return path


def write_files(folder, kind):
    count, side, _ = FILES[kind]
    count = count if machine.MEASURING else 6
    place = folder / kind.replace(" ", "-").replace(",", "")
    place.mkdir()
    for number, image in enumerate(pictures(count, side, kinds=6)):
        values = (image[..., 0].astype(np.uint16) << 4) + number % 16
        if kind.startswith("jpeg"):
            Image.fromarray(image).save(place / f"{number:04}.jpg", quality=90)
        elif kind.startswith("png"):
            Image.fromarray(image).save(place / f"{number:04}.png")
        elif kind.startswith("dicom"):
            write_dicom(place / f"{number:04}.dcm", values, number)
        else:
            write_nifti(place / f"{number:04}.nii.gz", values)
    return place


def write_dicom(path, values, number):
    import pydicom
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

    made = pydicom.Dataset()
    made.file_meta = pydicom.dataset.FileMetaDataset()
    made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.SOPClassUID, made.SOPInstanceUID = CTImageStorage, generate_uid(entropy_srcs=[str(number)])
    made.SeriesInstanceUID = generate_uid(entropy_srcs=["series", str(number)])
    made.PhotometricInterpretation, made.SamplesPerPixel, made.PixelRepresentation = "MONOCHROME2", 1, 0
    made.Rows, made.Columns = values.shape
    made.BitsAllocated, made.BitsStored, made.HighBit = 16, 12, 11
    made.PixelData = values.tobytes()
    made.save_as(path, enforce_file_format=True)


def write_nifti(path, values):
    import nibabel

    nibabel.Nifti1Image(np.stack([values] * 16, axis=-1).astype(np.int16), np.eye(4)).to_filename(path)


class Child:
    """A process that does one thing again each time it is asked."""

    def __init__(self, script, *arguments, cores, tree=ROOT):
        paths = [str(tree), str(tree / "cache"), *filter(None, [os.environ.get("PYTHONPATH")])]
        self.process = subprocess.Popen(
            [sys.executable, "-c", ASKED.format(cores=usable()[:cores], script=script), *map(str, arguments)],
            cwd=tree,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ready(self):
        assert self.process.stdout.readline() == "ready\n"
        return self

    def ask(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def answer(self):
        return json.loads(self.process.stdout.readline())

    def end(self):
        self.process.stdin.close()
        assert self.process.wait() == 0
        self.process.stdout.close()


class Way:
    """One or several processes that do the same at the same time, each its share."""

    def __init__(self, *children):
        self.children = [child.ready() for child in children]

    def measure(self):
        for child in self.children:
            child.ask()
        done = [child.answer() for child in self.children]
        return {
            "images": sum(one["images"] for one in done),
            "seconds": max(one["seconds"] for one in done),
            "cpu_seconds": sum(one["cpu_seconds"] for one in done),
        }


class Bench:
    """What is measured of one kind of data."""

    def __init__(self, folder, data, intensity=None, before=None):
        self.folder, self.data, self.intensity, self.before = folder, data, intensity, before
        self.stores = itertools.count()

    def medfeat(self, cores, tree=ROOT, *, unpack=False):
        memory = self.folder / ("unpacked" if unpack else "digests") / f"{self.data.name}.json"
        workers = cores if tree == ROOT else ""
        store = self.folder / "stores" / self.data.name / str(next(self.stores))
        words = self.data, self.intensity or "", memory, store, workers, "unpack" if unpack else ""
        return Way(Child(MEDFEAT, *words, cores=cores, tree=tree))

    def inflate(self, cores, library):
        side = int(self.data.stem)
        return Way(Child(INFLATE, self.data, cores, side * side * 3, library, cores=cores))

    def decode(self, cores, hashed):
        files = sorted(self.data.iterdir())
        return Way(*(Child(DECODE, hashed, *files[one::cores], cores=cores) for one in range(cores)))


def best(ways):
    """Measure in turn, several times over; return images a second, and processor time an image, of the best."""
    found = {name: [] for name in ways}
    for _ in range(REPEATS):
        for name, way in ways.items():
            found[name].append(way.measure())
    for way in ways.values():
        for child in way.children:
            child.end()
    return {name: best_of(several) for name, several in found.items()}


def best_of(several):
    """Rate of the fastest run with the cores that it had (others take some), and the least processor time."""
    fastest = max(several, key=lambda one: one["images"] / one["seconds"])
    return {
        "images_per_second": fastest["images"] / fastest["seconds"],
        "cores_at_work": fastest["cpu_seconds"] / fastest["seconds"],
        "cpu_us_an_image": min(1e6 * one["cpu_seconds"] / one["images"] for one in several),
    }


def usable():
    return sorted(os.sched_getaffinity(0))


def core_counts():
    there = len(usable())
    return [count for count in (1, 2, 4, 8, 16, 32, 64) if count <= there] if machine.MEASURING else [there]


def libraries():
    try:
        import zlib_ng  # noqa: F401
    except ImportError:
        return ["zlib"]
    return ["zlib", "zlib-ng"]


def measured(bench, kind):
    """Return the figures of one kind, with the ratios that matter at the most cores."""
    cores, most = core_counts(), core_counts()[-1]
    ways = {f"medfeat on {count}": bench.medfeat(count) for count in cores}
    if bench.before is not None:
        ways[f"before on {most}"] = bench.medfeat(most, bench.before)
    if kind.startswith("npz"):
        ways[f"medfeat on {most}, unpacked"] = bench.medfeat(most, unpack=True)
        for name in libraries():
            ways[f"{name} and blake2b on {most}"] = bench.inflate(most, name)
    if kind.startswith("jpeg"):
        ways[f"Pillow and blake2b on {most}"] = bench.decode(most, "hash")
        ways[f"Pillow on {most}"] = bench.decode(most, "plain")
    found = best(ways)
    ours = found[f"medfeat on {most}"]
    ratios = {
        name: {
            "rate": round(ours["images_per_second"] / other["images_per_second"], 3),
            "cpu": round(ours["cpu_us_an_image"] / other["cpu_us_an_image"], 3),
        }
        for name, other in found.items()
        if not name.startswith(f"medfeat on {most}")
    }
    rounded = {name: {key: float(f"{value:.4g}") for key, value in one.items()} for name, one in found.items()}
    return {**rounded, "medfeat as a ratio of": ratios}


def shares_a_core(found, most):
    """What share of the appetite a core feeds, by its processor time, which other work changes little."""
    spent = {kind: one[f"medfeat on {most}"]["cpu_us_an_image"] for kind, one in found.items()}
    return {
        network: {kind: float(f"{1e6 / microseconds / appetite:.2g}") for kind, microseconds in spent.items()}
        for network, appetite in H200_APPETITE.items()
    }


def before_this_work(folder):
    """Return the packages as they were, None where git does not have them."""
    folder.mkdir()
    command = f"git -C '{ROOT}' archive {BEFORE} medfeat cache | tar -x -C '{folder}'"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], check=False, capture_output=True)
    return folder if done.returncode == 0 else None


@pytest.mark.timeout(1800)
def test_the_host_feeds_a_network(tmp_path):
    if not hasattr(os, "sched_setaffinity"):
        pytest.skip("cores cannot be set aside here")
    before = before_this_work(tmp_path / "before") if machine.MEASURING else None
    found = {}
    for side in SIDES:
        found[f"npz {side} px"] = measured(Bench(tmp_path, write_npz(tmp_path, side), None, before), f"npz {side} px")
    for kind, (_, _, intensity) in FILES.items() if machine.MEASURING else [*FILES.items()][::2]:
        found[kind] = measured(Bench(tmp_path, write_files(tmp_path, kind), intensity, before), kind)
    most = core_counts()[-1]
    rates = {kind: one[f"medfeat on {most}"]["images_per_second"] for kind, one in found.items()}
    assert all(rate > 0 for rate in rates.values())
    if not machine.MEASURING:
        return
    machine.keep(
        "host",
        {
            "repeats": REPEATS,
            "inflaters": libraries(),
            "before": BEFORE if before is not None else "not measured: git does not have the commit",
            "kinds": found,
            "h200_appetite_estimated_images_per_second": H200_APPETITE,
            "share_of_the_appetite_a_core": shares_a_core(found, most),
        },
    )
    inflated = found["npz 224 px"]["medfeat as a ratio of"]
    assert all(inflated[f"{name} and blake2b on {most}"]["rate"] >= 0.8 for name in libraries())
    for kind in ("jpeg 500 px", "jpeg 2,000 px"):
        assert found[kind]["medfeat as a ratio of"][f"Pillow and blake2b on {most}"]["rate"] >= 0.85
