"""Write docs/rivals.md from benchmarks/results/rivals.json, which `benchmarks/bench_rivals.py` measures.

python tools/make_rivals.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from medfeat.report.tables import Table, markdown

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "rivals.json"
LOOKED = RESULTS.with_name("looking.json")
PAGE = ROOT / "docs" / "rivals.md"
OURS = "medfeat"
SAME = 0.9999
"""A cosine from which on two vectors count as the same network's; half precision gives a little less than one."""
GOES_ON = 0.8
"""Share of a whole run's processor time below which a run after a kill has gone on instead of beginning anew."""

HEAD = """# Beside other tools

The same images and the same network, with each tool by its public interface: made by `tools/make_rivals.py` from
[rivals.json](../benchmarks/results/rivals.json), which [bench_rivals.py](../benchmarks/bench_rivals.py) measures with
the scripts in `benchmarks/rivals`. {machine}

{images} PNG files of 224 px in the folders of two classes, from the start of the command to its end: starting Python,
loading the network, reading, embedding, writing. So short a run is mostly start: it says what a small set costs, not
how fast a large one is read (for that, [steady rates](../benchmarks/results/extraction.json)). Each tool has one thread
for the network and its own choice of readers, batch and precision; {runs}. Processor seconds are user and system, of
all processes it started. **Other work shared the two cores**, with a load of {load}: seconds are several times those of
a quiet machine, and a quarter more or less is chance; the processor seconds say more. Memory is the peak of all its
processes, what they share counted once. *x* is the multiple of medfeat's in the same group.

- **As by hand**: whether the vectors are those of the network's own forward pass in eval mode, one image after another
  in float32 (the smallest cosine of {checked} images, with the tool's own preparation of an image).
- **Killed**: what lay in the output folder after a SIGKILL at six tenths of the processor seconds of a whole run, and
  whether the same command then went on or began anew.
- **Two broken files**: a PNG of which half is missing, and a text named `.png`, among {good} good images.
"""

NOTES = """
## What each was

- *medfeat* makes a part durable every ten seconds of work, so a run as short as this has none yet when it is killed,
  and begins anew but for what it had measured; a longer one goes on (sixty kills:
  [soak_kills.json](../benchmarks/results/soak_kills.json)). Left to do: a first part that is durable sooner.
- *MedMNIST+ study's scripts* and *BioFuse* are patterns: short scripts of ours that do it as those repositories do,
  since the first reads MedMNIST's own files only and the second wants CUDA and downloads. The first leaves the network
  in training mode, as its `feature_extraction.py` does, so batch norms see the batch and not the training set.
- *embetter* never calls `eval()` on the network of its `TimmEncoder`, and embeds one image at a time: batch norms
  normalise each image by itself, so the vectors are those of no trained network.
- *thingsvision* pins torchvision 0.15 (torch 2.0) and TensorFlow below 2.16, so it has an environment of its own.
- *slide2vec* brings encoders of pathology only, which a hub gives; EfficientNet-Lite0 was registered as its
  documentation shows.
- *LightlyTrain* embeds with a checkpoint of its own only: a ResNet-18 that it pretrained for one epoch on twenty
  images, whose weights medfeat was given.
- *CLIP_benchmark* makes its linear probe on CUDA only (`assert device == 'cuda'`), so it was given the one task of
  classes that runs without, zero-shot: the same images through the same network (random weights); it keeps no vectors.
  Its images were packed as webdataset before the clock started. With NumPy 2.4 its version 1.6.2 stops at the score,
  when all images are through (`TypeError`); an older NumPy beside it is left to try.
- EfficientNet-Lite0 has its real ImageNet weights; the ResNet-18 of transformers has random ones.
"""

TUNING = """
## Fine-tuning

- *AutoGluon-MM* 1.6.3 is **not measured**: it pins a torch of its own, and its installation into an environment of its
  own did not end within 14 minutes on the shared machine. Left to do. medfeat's own figures are in
  [finetune.json](../benchmarks/results/finetune.json).
"""

LOOKING_HEAD = """
## Looking: time to a first picture

Images of 28 px whose vectors of 2,048 numbers are there already. medfeat writes one HTML file with counts, leaks,
pictures, pixel values and maps of pixels and vectors, which a browser then opens; embedding-atlas projects the vectors
and serves a page. Seconds until Chromium shows the first of it, the browser's own included.
"""

LOOKING_NOTES = """
- Rows of different size or load are **not to be compared by seconds**: a row of fewer images is what the machine had
  time for, and the same 17,092 images for all, in one run, are left to do. What the small row does say: most of it is
  start (imports, and compiling UMAP), which many images do not repeat.
- embedding-atlas draws its map with WebGPU alone; without it, it shows a table of pictures and no map.
- *FiftyOne* 1.22.1 is **not measured**: it wants a MongoDB server, which its package fetches from a server that cannot
  be reached here; neither Debian nor the package index has one ("MongoDB could not be installed on your system").
  Left to do where there is one.
"""


def best(row: dict[str, Any], name: str) -> float:
    """Return the least of a row's runs."""
    return float(min(run[name] for run in row["runs"]))


def times(value: float, ours: float) -> str:
    """Say a figure, and which multiple of medfeat's it is."""
    return f"{value:.1f} ({value / ours:.2f} x)"


def as_by_hand(row: dict[str, Any]) -> str:
    """Say whether the vectors are the network's own."""
    found = row["vectors"]
    if found is None:
        return "keeps none"
    cosine = found["worst_cosine"]
    if cosine is None:
        return f"no: of {found['dim']} numbers"
    return f"yes ({cosine:.6f})" if cosine >= SAME else f"no ({cosine:.3f})"


def goes_on(row: dict[str, Any]) -> bool:
    """Tell whether a run after a kill went on: from vectors that were there, or with much less work."""
    kill = row["killed"]
    return bool(kill["files"]) and bool(kill["vectors_left"] or kill["again"]["of_a_whole_run"] < GOES_ON)


def after_a_kill(row: dict[str, Any]) -> str:
    """Say what a kill left, and what the next run did."""
    kill = row.get("killed")
    if kill is None:
        return "–"
    if kill["killed"] != "on purpose":
        return "it had ended before"
    if not kill["files"]:
        return "nothing; begins anew"
    share = f"{100 * kill['again']['of_a_whole_run']:.0f} % of a whole run's processor time"
    went = "goes on" if goes_on(row) else "begins anew"
    whole = kill["vectors_left"]
    left = f"{whole} vectors in whole files" if whole else "nothing that looks whole"
    return f"{left}, {kill['files']} file{'s' * (kill['files'] > 1)}; {went} ({share})"


def with_broken(row: dict[str, Any]) -> str:
    """Say what two broken files did."""
    bad = row.get("bad")
    if bad is None:
        return "–"
    named = {0: "names neither", 1: f"names {', '.join(bad['named'])} only", 2: "names both"}[len(bad["named"])]
    if bad["rows_of_bad_ones"]:
        return f"vectors for {bad['rows_of_bad_ones']} of them, exit {bad['exit']}; {named}"
    if bad["rows"] == bad["good"]:
        return f"all {bad['good']} good ones, exit {bad['exit']}; {named}"
    if bad["rows"]:
        return f"{bad['rows']} of {bad['good']} good ones, exit {bad['exit']}; {named}"
    return f"ends with {bad['exit']}, no vector; {named}" if row["vectors"] else f"ends with {bad['exit']}; {named}"


def stands(row: dict[str, Any], ours: dict[str, Any]) -> str:
    """Say where medfeat is not ahead."""
    behind = []
    for name, words in (("processor_seconds", "processor time"), ("seconds", "seconds"), ("peak_mib", "memory")):
        ratio = best(ours, name) / best(row, name)
        if ratio > 1:
            behind.append(f"{words} {ratio:.2f} x")
    if row.get("killed") and ours.get("killed") and goes_on(row) and not goes_on(ours):
        behind.append("going on after a kill in so short a run")
    return "left to do: " + ", ".join(behind) if behind else "medfeat ahead"


def table(name: str, group: dict[str, Any], everyone: dict[str, Any]) -> Table:
    """One network's rows, medfeat first."""
    rows, notes = [], []
    ours = group["rows"][OURS]
    for tool, row in group["rows"].items():
        called = f"{tool} {row['version']}".strip()
        if "not_measured" in row or not row["runs"]:
            reason = row.get("not_measured", "not reached in the time there was")
            notes.append(f"*{called}* is **not measured**: {reason}. Left to do.")
            continue
        above = tool == OURS and "bad" not in row
        seconds = best(row, "seconds")
        rows.append(
            (
                called,
                row["does"],
                f"{group['images'] / seconds:.2f}",
                times(seconds, best(ours, "seconds")),
                times(best(row, "processor_seconds"), best(ours, "processor_seconds")),
                f"{best(row, 'peak_mib'):.0f}",
                as_by_hand(row),
                "as above" if above else after_a_kill(row),
                "as above" if above else with_broken(row),
                "" if tool == OURS else stands(row, {**ours, **everyone, "runs": ours["runs"]}),
            )
        )
    columns = (
        "tool", "asked for", "images/s", "seconds", "processor seconds", "peak MiB", "as by hand", "killed",
        "two broken files", "medfeat beside it",
    )  # fmt: skip
    return Table(name, columns, tuple(rows), tuple(notes))


def _runs(groups: dict[str, Any]) -> str:
    counts = {len(row["runs"]) for group in groups.values() for row in group["rows"].values() if row["runs"]}
    if counts == {1}:
        return "one run each, so small differences say nothing"
    return f"of {min(counts)} to {max(counts)} runs the least of each figure counts"


def looking(results: dict[str, Any], before: dict[str, Any]) -> Table:
    """Tell how soon each shows something; medfeat's own is from looking.json where it was not measured beside them."""
    found = dict(results.get("looking", {}))
    if OURS not in found:
        one = before["17092"]
        found[OURS] = {**one["first"], "images": one["images"], "shown_after_that": one["browser_seconds"]}
        found[OURS]["where"] = f"{before['machine']['processor']}, alone"
    rows = []
    for tool, one in sorted(found.items(), key=lambda pair: pair[0] != OURS):
        shown = one["shown_after"] if "shown_after" in one else one["seconds"] + one["shown_after_that"]
        rows.append(
            (
                f"{tool} {one.get('version', '')}".strip(),
                f"{one['images']:,}",
                f"{shown:.0f}",
                f"{one['processor_seconds']:.0f}",
                f"{one['peak_mib']:.0f}",
                one.get("where", f"as above, load {one['load']:.0f}"),
                "yes" if one.get("map_drawn", True) else "no: WebGPU",
            )
        )
    columns = ("tool", "images", "seconds", "processor seconds", "peak MiB", "measured on", "map drawn")
    return Table("", columns, tuple(rows))


def _load(groups: dict[str, Any]) -> str:
    loads = [run["load"] for group in groups.values() for row in group["rows"].values() for run in row["runs"]]
    return f"{min(loads):.0f} to {max(loads):.0f}"


def rendered(results: dict[str, Any], before: dict[str, Any]) -> str:
    """Return the page of the results, and of what was measured of `explore` before."""
    groups = results["embedding"]
    first = next(iter(groups.values()))
    machine, ours = results["machine"], first["rows"][OURS]
    libraries = machine["libraries"]
    facts = {
        "machine": f"Measured on {machine['date']} on {machine['cores']} cores of {machine['processor']}; torch "
        f"{libraries['torch']}, torchvision {libraries['torchvision']}.",
        "images": first["images"],
        "runs": _runs(groups),
        "load": _load(groups),
        "checked": ours["vectors"]["checked"],
        "good": ours["bad"]["good"],
    }
    everyone = {key: ours[key] for key in ("killed", "bad") if key in ours}
    tables = [table(name, group, everyone) for name, group in groups.items()]
    parts = [HEAD.format(**facts), "## Embedding\n", markdown(tables), NOTES, TUNING, LOOKING_HEAD]
    parts += [markdown([looking(results, before)]), LOOKING_NOTES]
    return "\n".join(part.strip("\n") + "\n" for part in parts)


def made() -> str:
    """Return the page of the committed results."""
    results, before = (json.loads(path.read_text(encoding="utf-8")) for path in (RESULTS, LOOKED))
    return rendered(results, before)


def main() -> None:
    """Write the page and say so."""
    PAGE.write_text(made(), encoding="utf-8")
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    main()
