"""Draw what commands print on terminals of several widths, in colour, without, and in the C locale; needs pyte.

python tools/look_at_terminal.py OUT [--cache DIR] [--only WORD,WORD] [--columns 80,100,160]

Each command runs on a terminal of its own. OUT gets a picture and a text of what stood there when it ended, and of what
stood there while a bar was drawn. What no picture shows is printed: colours where NO_COLOR is set, and letters beyond
ASCII in the C locale. With MEDFEAT_REAL_DATA the sets and the weights are real ones.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyte
from matplotlib.font_manager import findfont
from PIL import Image, ImageDraw, ImageFont

ROOT = Path(__file__).parents[1]
COLUMNS = (80, 100, 160)
MODES: dict[str, dict[str, str]] = {"colour": {}, "plain": {"NO_COLOR": "1"}, "c": {"LANG": "C"}}
LINES = 600  # higher than what any command prints: nothing scrolls away
_SIZE, _STEP = 13, 17
_SHADES = {"default": "#dddddd", "brown": "yellow", "black": "#555555"}
_BARS = ("━", " left")  # of which one is on the screen while a bar is drawn


@dataclass(frozen=True)
class Look:
    """A command whose output is looked at: a name for its files, and its words."""

    name: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Seen:
    """What a terminal showed: at the end, with a bar if there ever was one, and every byte that came."""

    end: pyte.Screen
    amid: pyte.Screen | None
    came: bytes


def run_on_terminal(words: Sequence[str], columns: int, environment: dict[str, str]) -> Seen:
    """Run the command on a terminal that wide."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, columns, 0, 0))
    screen, amid, came, looked = _screen(columns), None, b"", 0.0
    process = subprocess.Popen(
        [sys.executable, "-m", "medfeat", *words], stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    )
    os.close(theirs)
    stream = pyte.ByteStream(screen)
    while True:
        if select.select([ours], [], [], 0.1)[0]:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # nobody is left on the other side
                break
            came += piece
            stream.feed(piece)
        if time.monotonic() - looked > 0.1 and any(mark in line for line in screen.display for mark in _BARS):
            amid, looked = _screen(columns), time.monotonic()
            pyte.ByteStream(amid).feed(came)
    process.wait()
    os.close(ours)
    return Seen(screen, amid, came)


def _screen(columns: int) -> pyte.Screen:
    screen = pyte.Screen(columns, LINES)
    screen.set_mode(pyte.modes.LNM)
    return screen


def text_of(screen: pyte.Screen) -> str:
    """Return what stands on a screen."""
    return "\n".join(line.rstrip() for line in screen.display).rstrip("\n") + "\n"


def draw(screen: pyte.Screen) -> Image.Image:
    """Return a picture of a screen, with a frame that tells where its lines end."""
    from wcwidth import wcwidth

    regular, bold = (
        ImageFont.truetype(findfont(f"DejaVu Sans Mono:weight={weight}"), _SIZE) for weight in ("normal", "bold")
    )
    letter = regular.getlength("m")
    height = (text_of(screen).count("\n") + 1) * _STEP
    picture = Image.new("RGB", (round(screen.columns * letter) + 2, height), "#181818")
    pen = ImageDraw.Draw(picture)
    pen.rectangle((0, 0, picture.width - 1, height - 1), outline="#406080")
    for y, row in screen.buffer.items():
        for x, cell in row.items():
            if not cell.data.strip() or wcwidth(cell.data[0]) < 1:
                continue
            shade = _SHADES.get(cell.fg, cell.fg if not cell.fg.isalnum() or not _is_hex(cell.fg) else f"#{cell.fg}")
            pen.text((1 + x * letter, 2 + y * _STEP), cell.data, fill=shade, font=bold if cell.bold else regular)
    return picture


def _is_hex(name: str) -> bool:
    return len(name) == 6 and all(letter in "0123456789abcdef" for letter in name)


def looks(run: str, store: str) -> list[Look]:
    """Return what is looked at: a run is named by its key, its store by its digest."""
    real = "MEDFEAT_REAL_DATA" in os.environ
    root = f" --data-root {os.environ['MEDFEAT_REAL_DATA']}" if real else ""
    data, other = ("breastmnist", "retinamnist") if real else ("synthetic-binary", "synthetic-ordinal")
    lines = {
        "extract": f"extract -d {other} -b squeezenet1_1 --weights random --cache-dir FRESH{root}",
        "extract-dry": f"extract -d {data} -b all --dry-run{root}",
        "probe": "probe --head linear,knn", "probe-data": f"probe -d {data} --head all", "pivot": "probe --pivot",
        "probe-groups": f"probe -d {data} --folds 5 --head linear", "shots": f"probe -d {data} --shots 1,5,all",
        "compare": f"compare -d {data}", "compare-paired": f"compare -d {data} --paired", "transfer":
        "probe -d synthetic-binary --test-on synthetic-binary", "fuse": f"probe -d {data} --fuse concat,average",
        "corrupt": "probe -d synthetic-binary --corrupt", "course": "compare --course",
        "list-backbones": "list backbones", "list-datasets": "list datasets", "list-heads": "list heads",
        "list-published": f"list published -d {data}", "cache-ls": "cache ls", "cache-info": f"cache info {store}",
        "cache-verify": "cache verify", "runs-list": "runs list", "runs-show": f"runs show {run}",
        "runs-verify": "runs verify", "search": f"search -d {data} -b pixels --id test/0",
        "audit": f"audit -d {data} -b stats",
        "predict": f"predict --run {run} --images PICTURES", "doctor": "doctor --offline", "finetune-dry":
        f"finetune -d {data} -b squeezenet1_1 --weights random --dry-run", "report": "report --out REPORT",
        "no-command": "porbe", "no-data": "probe -d bloodmnst", "no-option": "probe --heads knn", "no-head":
        "probe --head lineal", "no-run": "predict --run 123456 --images PICTURES", "no-store": "search --id test/0",
        "no-file": "extract -d ./nowhere -b stats", "no-need": f"probe -d {data} --figure curve.png",
        "help": "--help", "version": "-V",
    }  # fmt: skip
    helped = ("extract", "probe", "finetune", "predict", "search", "audit", "compare", "explore", "report", "list",
              "doctor", "demo", "cache", "runs", "export", "cache import", "cache export", "runs show")  # fmt: skip
    lines |= {f"help-{name.replace(' ', '-')}": f"{name} --help" for name in helped}
    return [Look(name, tuple(line.split())) for name, line in lines.items()]


def fill(environment: dict[str, str], folder: Path) -> str:
    """Make stores, runs and pictures to look at; return the key of a run and the digest of its store."""
    import json

    real = os.environ.get("MEDFEAT_REAL_DATA")
    asked = ["extract -d synthetic-binary,synthetic-ordinal -b stats,pixels"]
    if real:
        both = f"extract --data-root {real} -d breastmnist,retinamnist -b"
        asked += [
            f"{both} stats,pixels",
            f"{both} squeezenet1_1 --weights {real}/squeezenet1_1_torchvision_fp16src.pth",
        ]
        asked += [f"{both} mobilenetv2_100 --weights {real}/mobilenet_v2_tf2ptq_timm.pth"]
    asked.append("probe --head linear,knn")
    command = [sys.executable, "-m", "medfeat"]
    for line in asked:
        subprocess.run([*command, *line.split()], env=environment, check=True, stdout=subprocess.DEVNULL)
    listed = subprocess.run([*command, "runs", "list", "--json"], env=environment, check=True, capture_output=True)
    runs = json.loads(listed.stdout)["runs"]
    data = "breastmnist" if real else "synthetic-binary"
    _write_pictures(folder / "pictures")
    chosen = next(one for one in runs if one["dataset"] == data)
    return f"{chosen['key'][:12]} {chosen['store']['digest'][:12]}"


def _write_pictures(folder: Path) -> None:
    import numpy as np

    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    for i in range(12):
        Image.fromarray(rng.integers(0, 256, (28, 28), np.uint8)).save(folder / f"patient-{i:02d}-left.png")


def faults(seen: Seen, mode: str) -> Iterator[str]:
    """Yield what no picture shows."""
    text = seen.came.decode("utf-8", "replace")
    if mode == "c" and (odd := {letter for letter in text if ord(letter) > 127}):
        yield f"beyond ASCII: {' '.join(sorted(odd))}"
    if mode == "plain":
        codes = {code for part in text.split("\x1b[")[1:] if "m" in part for code in part.split("m")[0].split(";")}
        if colours := {code for code in codes if code.isdigit() and int(code) // 10 in (3, 4, 9, 10) and code != "39"}:
            yield f"colours: {' '.join(sorted(colours))}"
    if "Traceback (most recent call last)" in text:
        yield "a traceback"


def main() -> None:
    """Fill a cache, run everything, keep what was seen."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--cache", type=Path, help="made where it is not there; one that was filled is used again")
    parser.add_argument("--only", help="beginnings of names")
    parser.add_argument("--columns", default=",".join(map(str, COLUMNS)))
    parser.add_argument("--modes", default=",".join(MODES))
    given: Any = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    cache = (given.cache or given.out / "cache").resolve()
    kept = ("PATH", "HOME", "PYTHONPATH", "OMP_NUM_THREADS", "MEDFEAT_REAL_DATA", "MEDFEAT_DATA")
    environment = {name: os.environ[name] for name in kept if name in os.environ}
    environment |= {"MEDFEAT_CACHE": str(cache), "TERM": "xterm-256color", "LANG": "C.UTF-8"}
    marker = cache / ".looked-at"
    if not marker.exists():
        marker.parent.mkdir(parents=True, exist_ok=True)
        marker.write_text(fill(environment, cache))
    places = {"PICTURES": str(cache / "pictures"), "REPORT": str(given.out / "report.html")}
    fresh = iter(range(10**6))
    wanted = tuple(given.only.split(",")) if given.only else ("",)
    for look in (one for one in looks(*marker.read_text().split()) if one.name.startswith(wanted)):
        for mode in given.modes.split(","):
            for columns in map(int, given.columns.split(",")):
                places["FRESH"] = str(given.out / f"fresh-{next(fresh)}")
                words = [places.get(word, word) for word in look.words]
                seen = run_on_terminal(words, columns, environment | MODES[mode])
                where = f"{look.name}-{columns}-{mode}"
                for screen, ending in ((seen.end, ""), (seen.amid, "-amid")):
                    if screen is not None:
                        (given.out / f"{where}{ending}.txt").write_text(text_of(screen))
                        draw(screen).save(given.out / f"{where}{ending}.png")
                print(where, *faults(seen, mode), sep="  ")


if __name__ == "__main__":
    main()
