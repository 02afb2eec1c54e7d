"""Plan 10^8 images on up to 100 GPUs from measured rates, and write the tables of docs/scale.md.

python benchmarks/scale_plans.py
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simulate_scale import MOVES_OF_A_MERGE, Cluster, Outcome, Pace, Work, arrivals, kills, simulate, slow_spells

ROOT = Path(__file__).parents[1]
RESULTS, PAGE = ROOT / "benchmarks" / "results", ROOT / "docs" / "scale.md"
IMAGES, GPUS, CORES, PART = 100_000_000, 100, 16, 500_000
CHUNK = 8192
"""Most images of a durable part, as `medfeat.extraction.measure.choose` has it; on a GPU two are on their way."""
STALE_S = 300.0
"""As `medfeat_cache.lock` has it."""
# What was not measured, and is taken: another cluster has other figures.
BANDWIDTH, START_S, PART_S, QUEUE_GAP_S, HOURS_A_KILL, BACK_S = 10e9, 60.0, 15.0, 36.0, 100.0, 600.0
SLOW = {"every_s": 3600.0, "last_s": 600.0, "share": 0.25}
ASSUMED = (
    f"a file system of {BANDWIDTH / 1e9:.0f} GB/s for all; {START_S:.0f} s until a process has begun and "
    f"{PART_S:.0f} s to load the network and measure, for every part; {CORES} cores a GPU; a JPEG of 500 px is 60 kB, "
    f"one of 2,000 px 800 kB; with trouble a queue that lets a task begin every {QUEUE_GAP_S:.0f} s, each GPU killed "
    f"once in {HOURS_A_KILL:.0f} hours and back after {BACK_S / 60:.0f} minutes, and once an hour "
    f"{SLOW['last_s'] / 60:.0f} minutes in which the file system gives {100 * SLOW['share']:.0f} % of that"
)
_LONG_S = 30 * 24 * 3600.0


@dataclass(frozen=True)
class Rate:
    """Images a second of one GPU's process, and where the figure is from."""

    value: float
    source: str


@dataclass(frozen=True)
class Job:
    """What is to be embedded by which network."""

    name: str
    network: Rate
    host: Rate
    image_bytes: float
    dim: int

    @property
    def rate(self) -> Rate:
        """The slower of the two: what a GPU waits for."""
        return min(self.network, self.host, key=lambda rate: rate.value)

    @property
    def row_bytes(self) -> float:
        """Of an embedding in half precision."""
        return 2.0 * self.dim


def _read(name: str) -> dict[str, Any]:
    return dict(json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8")))


def jobs() -> list[Job]:
    """Return what is planned, with rates from the files of results."""
    steady, host = _read("gpu")["steady"], _read("host")
    (resnet,) = (
        row["medfeat"]
        for row in steady
        if (row["network"], row["precision"], row["batch"]) == ("resnet50", "fp16", 256)
    )
    measured = Rate(resnet, "measured, one H100 (gpu.json)")
    large = Rate(
        host["h200_appetite_estimated_images_per_second"]["vit_l_14"], "estimate by roofline, one H200 (host.json)"
    )
    npz = Rate(host["kinds"]["npz 28 px"]["medfeat on 2"]["images_per_second"], "measured on two cores (host.json)")
    files = {
        side: Rate(
            CORES / 2 * host["kinds"][f"jpeg {side} px"]["medfeat on 2"]["images_per_second"],
            f"estimate: {CORES / 2:.0f} times what two cores were measured at (host.json)",
        )
        for side in ("500", "2,000")
    }
    return [
        Job("28 px in .npz, ResNet-50", measured, npz, 28 * 28 * 3, 2048),
        Job("JPEG of 500 px, ResNet-50", measured, files["500"], 60e3, 2048),
        Job("JPEG of 500 px, ViT-L/14", large, files["500"], 60e3, 1024),
        Job("JPEG of 2,000 px, ResNet-50", measured, files["2,000"], 800e3, 2048),
    ]


def store_rates() -> tuple[float, float]:
    """Return bytes a second of embeddings at which one process merges parts into a store, and reads parts again."""
    kept = _read("store_read")
    whole = kept["rows"] * kept["dim"] * 4
    return whole / kept["write_s"], whole / kept["verify_s"]


def planned(job: Job, *, gpus: int = GPUS, part: int = PART, trouble: bool) -> Outcome:
    """Simulate a job, cut into parts, on some GPUs."""
    merge, check = store_rates()
    whole, rest = divmod(IMAGES, part)
    # every file is read twice: when it is opened, for its digest, and to be embedded
    work = Work((*[part] * whole, *[rest] * (rest > 0)), job.image_bytes, job.row_bytes, job.image_bytes, 2 * CHUNK)
    pace = Pace(job.rate.value, 0.0, START_S + PART_S, merge, check)
    if not trouble:
        return simulate(work, pace, Cluster((0.0,) * gpus, BANDWIDTH))
    cluster = Cluster(
        arrivals(1, gpus, QUEUE_GAP_S), BANDWIDTH, slow_spells(2, **SLOW, until_s=_LONG_S),
        kills(3, gpus, HOURS_A_KILL, _LONG_S), BACK_S, STALE_S,
    )  # fmt: skip
    return simulate(work, pace, cluster)


def paid(found: Outcome) -> dict[str, float]:
    """Return GPU seconds by what they went for; a task of an array for which there is nothing left ends."""
    return {name: seconds for name, seconds in found.spent.items() if name not in ("waiting", "starting")}


def _gpu_hours(found: Outcome) -> str:
    return f"{sum(paid(found).values()) / 3600:.0f}"


def _share(found: Outcome, name: str) -> str:
    return f"{100 * paid(found)[name] / sum(paid(found).values()):.0f} %"


def _most(found: Outcome) -> str:
    return max(paid(found), key=lambda name: paid(found)[name])


def hours(seconds: float) -> str:
    """Say a time in the unit that suits it."""
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def size(count: float) -> str:
    """Say bytes in the unit that suits them."""
    for unit, name in ((1e12, "TB"), (1e9, "GB")):
        if count >= unit:
            return f"{count / unit:.1f} {name}" if count < 10 * unit else f"{count / unit:,.0f} {name}"
    return f"{count / 1e6:,.0f} MB"


def table(columns: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Spell a table: the first column is text, the others numbers."""
    bars = ["---", *["---:"] * (len(columns) - 1)]
    return "\n".join(f"| {' | '.join(line)} |" for line in (columns, bars, *rows))


def rates_table() -> str:
    """What one GPU's process does in a second, and which figure that is."""
    rows = []
    for job in jobs():
        waits = "the network" if job.rate is job.network else "reading"
        rows.append(
            (
                job.name,
                f"{job.network.value:,.0f}",
                job.network.source,
                f"{job.host.value:,.0f}",
                job.host.source,
                waits,
            )
        )
    return table(("images", "network, images/s", "which is", "reading, images/s", "which is", "slower"), rows)


def plans_table() -> str:
    """Every job on all GPUs, without and with trouble."""
    rows = []
    for job in jobs():
        quiet, real = planned(job, trouble=False), planned(job, trouble=True)
        rows.append((
            job.name, hours(IMAGES / GPUS / job.rate.value), hours(quiet.seconds), hours(real.seconds),
            _gpu_hours(real), _share(real, "computing"), _most(real),
            size(real.read_bytes), size(real.written_bytes), f"{real.kills}, {real.images_lost:,.0f}",
        ))  # fmt: skip
    columns = (
        "images", "images over rate", "all there at once", "with trouble", "GPU-hours", "embedding",
        "most time goes for", "read", "written", "kills, images again",
    )  # fmt: skip
    return table(columns, rows)


def gpus_table() -> str:
    """One job on fewer GPUs: with trouble."""
    job, rows = jobs()[1], []
    for count in (1, 8, 32, GPUS):
        found = planned(job, gpus=count, trouble=True)
        rows.append((
            str(count), hours(found.seconds), _gpu_hours(found), _share(found, "computing"), _most(found),
        ))  # fmt: skip
    return table(("GPUs", "takes", "GPU-hours", "embedding", "most time goes for"), rows)


def cuts_table() -> str:
    """One job cut into fewer and more parts: with trouble."""
    job, rows = jobs()[1], []
    for part in (10_000, 100_000, PART, 1_000_000, 5_000_000):
        found = planned(job, part=part, trouble=True)
        store = part * job.row_bytes
        rows.append((
            f"{part:,}", f"{IMAGES // part:,}", f"{math.ceil(part / CHUNK):,}", size(store),
            f"{store / store_rates()[0]:.0f} s", hours(found.seconds), _gpu_hours(found),
        ))  # fmt: skip
    return table(
        ("images a part", "stores", "files while it is made", "a store", "its merge", "takes", "GPU-hours"), rows
    )


def spent_table() -> str:
    """Where the GPU-hours of every job go: with trouble."""
    rows = []
    for job in jobs():
        found = planned(job, trouble=True)
        rows.append((job.name, *(_share(found, name) for name in paid(found))))
    return table(("images", *paid(found)), rows)


def one_store() -> str:
    """What one store of all images would take."""
    job, ids = jobs()[1], _read("scale").get("ids")
    merge, check = store_rates()
    whole = IMAGES * job.row_bytes
    memory = f", and {size(IMAGES * ids['peak_bytes_an_id'])} of memory for the ids of all images" if ids else ""
    return (
        f"One store of all of them would be a file of {size(whole)}: merged by one process in "
        f"{hours(whole / merge)}, for which {MOVES_OF_A_MERGE} times that goes through the file system while 99 GPUs "
        f"wait, read again in {hours(whole / check)} before a killed run goes on{memory}."
    )


def checked() -> str:
    """What real processes took beside what was foretold."""
    found = _read("scale")["check"]
    alone, machine, took = found["one_process_alone"], found["machine"], found["took"]
    return (
        f"Checked on {machine['date']} against two processes on {machine['cores']} cores of {machine['processor']}: "
        f"{found['parts']} parts of {found['images_a_part']:,} images in a study, by a network that waits where a GPU "
        f"would compute. The second process began {found['second_process_after_s']:.0f} s after the first, which was "
        f"killed after {found['first_killed_after_s']:.0f} s. From what one process alone had taken before "
        f"({alone['images_per_second']:.0f} images/s, {alone['start_s']:.1f} s of start, {alone['part_s']:.1f} a part; "
        f"load {found['load']:.0f}) the simulation foretold {found['foretold']['seconds']:.0f} s. They took "
        f"{took['seconds']:.0f} s, {found['took_over_foretold']:.2f} times as long{_judged(found)}; the second went "
        f"on after {took['images_kept_of_the_part_of_the_dead']:,} images that the first had made durable."
    )


def _judged(found: dict[str, Any]) -> str:
    within = found["within"]
    if 1 / within <= found["took_over_foretold"] <= within:
        busy = found["one_process_alone"]["start_s"] > found["took"]["seconds"] / 3
        weak = "; on so busy a machine most of it was starting, which says little of parts and kills: to be repeated"
        return f" (within the factor of {within:g} that the check allows{weak if busy else ''})"
    return f" (**more than the factor of {within:g}** that the check allows: to be repeated on a quiet machine)"


def planning() -> str:
    """What asking the cache of many parts costs."""
    rows = _read("scale")["planning"]["processor_seconds"]
    return table(
        ("parts", "plan of an empty cache, processor s", "plan of a full one"),
        [(f"{row['parts']:,}", f"{row['planned_empty']:.1f}", f"{row['planned_done']:.1f}") for row in rows],
    )


MADE = {
    "rates": rates_table, "plans": plans_table, "spent": spent_table, "gpus": gpus_table, "cuts": cuts_table,
    "one store": one_store, "checked": checked, "planning": planning,
    "assumed": lambda: f"Taken, not measured: {ASSUMED}.",
}  # fmt: skip


def filled(text: str) -> str:
    """Return the page with every part anew that is made here."""
    for name, make in MADE.items():
        begin, end = f"<!-- {name}: made by benchmarks/scale_plans.py -->", f"<!-- end of {name} -->"
        before, rest = text.split(begin)
        text = f"{before}{begin}\n{make()}\n{end}{rest.split(end)[1]}"
    return text


def main() -> None:
    """Write the page."""
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    print(f"wrote {PAGE}")


if __name__ == "__main__":
    main()
