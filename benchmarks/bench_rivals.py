"""medfeat beside the tools that do the same, on the same images and networks, by each one's public interface.

An ordinary quick test, which needs no rival. With MEDFEAT_BENCH=1 and MEDFEAT_RIVALS=FOLDER, whose folders are the
environments that `rival_tools.py` names, it takes an hour of two cores and keeps its figures in `results/rivals.json`:
`MEDFEAT_BENCH=1 MEDFEAT_RIVALS=FOLDER python -m pytest benchmarks/bench_rivals.py -s --timeout=0`. Each has a thread
for the network (OMP_NUM_THREADS=1). Other work on the machine counts too, so processor seconds stand beside seconds.
"""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from PIL import Image

import machine
import watched
from bench_host import pictures
from rival_networks import LITE, NETWORKS, SMALL, by_hand
from rival_tools import ROOT, Rival, embedders, vectors_of

IMAGES, REPEATS = (160, 2) if machine.MEASURING else (12, 1)
GOOD, CHECKED = (24, 32) if machine.MEASURING else (6, 6)
BAD = {"cut.png": "a PNG of which half is missing", "text.png": "a text named .png"}


def draw(folder, count):
    """Write PNG files of 224 px, no two alike, in the folders of two classes."""
    images = pictures(count, 224)
    for number, image in enumerate(images):
        place = folder / ("benign", "malignant")[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        lighter = np.clip(image.astype(int) + number // 64 * 7, 0, 255).astype(np.uint8)
        Image.fromarray(lighter).save(place / f"{number:04}.png")
    return folder


def spoil(folder):
    """Put two files among them that are no images."""
    whole = (folder / "benign" / "0000.png").read_bytes()
    (folder / "benign" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "malignant" / "text.png").write_text("no picture at all\n")
    return folder


class Desk:
    """Where images, networks and what tools leave lie."""

    def __init__(self, folder):
        self.folder = folder
        self.images = draw(folder / "images", IMAGES)
        self.bad = spoil(draw(folder / "bad", GOOD))
        self.runs, self.there = 0, set()

    def out(self):
        self.runs += 1
        place = self.folder / f"out{self.runs}"
        place.mkdir()
        return place

    def network(self, name):
        """Return the folder of a network, which is put there when it is first asked for."""
        place = self.folder / name.replace("/", "-")
        if name not in self.there:
            NETWORKS[name].put(place)
            self.there.add(name)
        return place

    def variables(self, rival):
        paths = [str(ROOT), str(ROOT / "cache"), str(ROOT / "cli")]
        own = {} if rival.environment else {"PYTHONPATH": os.pathsep.join(paths)}
        offline = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HOME": str(self.folder / "home")}
        return {"OMP_NUM_THREADS": "1", "COLUMNS": "200", **offline, **own}

    def run(self, rival, images, out, **more):
        words = rival.command(images, out, self.network(rival.network))
        return watched.run(words, env=self.variables(rival), **more)


def last_line(said):
    return next((line.strip() for line in reversed(said.splitlines()) if line.strip()), "it said nothing")


def short(done):
    return {name: value for name, value in done.items() if name not in ("said", "killed")}


def fresh(desk, rival, row):
    """Run once from nothing, and put what it took and gave into its row."""
    out = desk.out()
    done = desk.run(rival, desk.images, out)
    found = vectors_of(out)
    if done["exit"] or (rival.keeps and len(found) < IMAGES):
        row["not_measured"] = f"it ended with {done['exit']} and {len(found)} vectors: {last_line(done['said'])}"
        print(done["said"][-3000:])
        return
    row["runs"].append(short(done))
    row["vectors"] = agreement(desk, rival, found) if rival.keeps else None
    print(rival.name, row["runs"][-1], row["vectors"], flush=True)


class Group:
    """Those who work with one network, what was found of each, and the phases of measuring."""

    def __init__(self, desk, name, rivals):
        self.desk, self.name, self.rivals = desk, name, rivals
        kept = measured_before(name)
        self.rows = {
            one.name: kept.get(one.name) or {"does": one.does, "version": one.version(), "runs": []} for one in rivals
        }
        for one in rivals:
            if reason := one.missing():
                self.rows[one.name]["not_measured"] = reason

    def there(self):
        return [(one, self.rows[one.name]) for one in self.rivals if "not_measured" not in self.rows[one.name]]

    def run(self, times):
        """Run each in turn until each has so many runs."""
        for number in range(times):
            for one, row in self.there():
                if len(row["runs"]) <= number:
                    fresh(self.desk, one, row)
        self.keep()

    def spoil(self, names):
        for one, row in self.there():
            if one.name in names and "bad" not in row:
                row["bad"] = spoilt(self.desk, one)
        self.keep()

    def kill(self, names):
        for one, row in self.there():
            if one.name in names and "killed" not in row:
                row["killed"] = killed(self.desk, one, row)
        self.keep()

    def keep(self):
        facts = {"images": IMAGES, "side": 224, "threads": 1, "rows": self.rows}
        keep("embedding", self.name, facts)


def agreement(desk, rival, found):
    """Say how far vectors are from those of the network's own forward pass in eval mode."""
    files = sorted(desk.images.rglob("*.png"), key=lambda file: file.name)[:CHECKED]
    wanted = by_hand(rival.network, desk.network(rival.network), files, crop=rival.crop)
    A, B = (np.stack([np.ravel(rows[file.name]) for file in files]).astype(float) for rows in (found, wanted))
    if A.shape != B.shape:
        return {"dim": A.shape[1], "worst_cosine": None}
    cosines = (A * B).sum(1) / np.maximum(np.linalg.norm(A, axis=1) * np.linalg.norm(B, axis=1), 1e-30)
    return {"dim": A.shape[1], "worst_cosine": float(cosines.min()), "checked": len(files)}


def killed(desk, rival, row):
    """Kill a run at six tenths of the processor seconds of a whole one; where that left files, run the same again."""
    whole, out = row["runs"][0]["processor_seconds"], desk.out()
    done = desk.run(rival, desk.images, out, kill_at=0.6 * whole)
    left = sorted(str(file.relative_to(out)) for file in out.rglob("*") if file.is_file())
    found = {
        "killed": done["killed"],
        "after_processor_seconds": done["processor_seconds"],
        "files": len(left),
        "left": left[:12],
        "vectors_left": len(vectors_of(out)),
    }
    if left:
        again = desk.run(rival, desk.images, out)
        share = again["processor_seconds"] / whole
        found["again"] = {**short(again), "vectors": len(vectors_of(out)), "of_a_whole_run": share}
    print(rival.name, found, flush=True)
    return found


def spoilt(desk, rival):
    """Run over good images and two that are none."""
    out = desk.out()
    done = desk.run(rival, desk.bad, out)
    found = vectors_of(out)
    facts = {
        "good": GOOD,
        "exit": done["exit"],
        "rows": len(found),
        "rows_of_bad_ones": sum(name in found for name in BAD),
        "named": [name for name in BAD if name in done["said"]],
        "said": last_line(done["said"]).replace(str(desk.folder), ""),
    }
    print(rival.name, facts, flush=True)
    return facts


def measured_before(name):
    """Return the rows of a group whose measuring was interrupted; without the file of results it begins anew."""
    path = machine.RESULTS / "rivals.json"
    if not machine.MEASURING or not path.exists():
        return {}
    group = json.loads(path.read_text()).get("embedding", {}).get(name, {})
    whole = {tool: row for tool, row in group.get("rows", {}).items() if "not_measured" not in row}
    return whole if group.get("images") == IMAGES else {}


def keep(part, name, result):
    """Put one part among the results, beside those that are there."""
    path = machine.RESULTS / "rivals.json"
    old = json.loads(path.read_text()) if machine.MEASURING and path.exists() else {}
    result = {"date": machine.describe()["date"], **result}
    parts = {**old.get(part, {}), name: json.loads(json.dumps(result))}
    machine.keep("rivals", {**{key: value for key, value in old.items() if key != "machine"}, part: parts})


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_embedding_beside_rivals(tmp_path):
    desk, some = Desk(tmp_path), machine.MEASURING
    asked = embedders(LITE if some else SMALL)
    groups = [Group(desk, name, rivals if some else rivals[:2]) for name, rivals in asked.items()][
        : None if some else 1
    ]
    # What medfeat does when it is killed, and with images that are none, does not depend on the network.
    whole = [[one.name for one in group.rivals if group is groups[0] or one.name != "medfeat"] for group in groups]
    for group in groups:
        group.run(1)
    for group, names in zip(groups, whole, strict=True):
        group.spoil(names)
    for group, names in zip(groups, whole, strict=True):
        group.kill(names if some else names[1:])
    for group in groups:
        group.run(REPEATS)
    ours, usual = (groups[0].rows[name] for name in ("medfeat", "MedMNIST+ study's scripts"))
    assert ours["vectors"]["worst_cosine"] > 0.999
    assert (ours["bad"]["rows"], ours["bad"]["named"]) == (GOOD, [*BAD])
    assert usual["bad"]["exit"] != 0
    assert usual["killed"]["killed"] == "on purpose"
    assert usual["killed"]["files"] == 0


@pytest.mark.timeout(7200)
@pytest.mark.skipif(
    not machine.MEASURING, reason="needs embedding-atlas and minutes; bench_looking.py has the quick form"
)
def test_looking_beside_rivals(tmp_path):
    """Show as many images as BloodMNIST has, or MEDFEAT_LOOKING, whose vectors of 2,048 numbers are there already."""
    from bench_looking import explored, make, seconds_until_shown
    from medfeat_cache import find_stores
    from rival_looking import embedding_atlas, pack

    count = int(os.environ.get("MEDFEAT_LOOKING", "17092"))
    npz = make(tmp_path, count)
    [store] = find_stores(tmp_path / "cache")
    parquet = pack(npz, store.path, tmp_path / "many.parquet")
    theirs = embedding_atlas(os.environ["MEDFEAT_RIVALS"], parquet)
    theirs["version"] = Rival("", "", "", "", "embedding-atlas", "embedding-atlas").version()
    keep("looking", "embedding-atlas", {"images": count, "dim": 2048, **short(theirs)})
    page = tmp_path / "page.html"
    ours = {**explored(npz, tmp_path, page), "shown_after_that": seconds_until_shown(page)}
    keep("looking", "medfeat", {"images": count, "dim": 2048, **ours})
