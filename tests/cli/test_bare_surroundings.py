"""The command as batch systems start it: no home, no locale, narrow terminals, folders that cannot be written."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
HOMELESS = (
    "import pathlib, runpy, sys\n"
    "def home(*_):\n    raise RuntimeError('Could not determine home directory.')\n"
    "pathlib.Path.home = classmethod(home)\n"
    "sys.argv[0] = 'medfeat'\n"
    "from medfeat_cli.main import main\nmain()\n"
)


@pytest.fixture
def images(tmp_path):
    root = tmp_path / "bilder-ü"
    for label in ("gesund", "kränk"):
        for i in range(6):
            (root / label).mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng(i).integers(0, 256, (8, 8), np.uint8)
            Image.fromarray(pixels).save(root / label / f"é{i}.png")
    return root


def medfeat(*arguments, code=None, **environment):
    """Run the command as `env -i` does: with nothing set but what is given."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "cli"), str(ROOT / "cache")])
    start = [sys.executable, "-c", code] if code else [sys.executable, "-m", "medfeat"]
    return subprocess.run(
        [*start, *map(str, arguments)],
        env={"PYTHONPATH": paths, "PATH": os.environ["PATH"], **environment},
        capture_output=True,
        check=False,
        timeout=240,
    )


def one_line(result):
    said = result.stderr.decode("utf-8", "replace")
    assert "Traceback" not in said
    (line,) = [line for line in said.splitlines() if line.startswith("medfeat: ")]
    return line


@pytest.mark.parametrize(
    "environment",
    [{}, {"LC_ALL": "C"}, {"LANG": "C"}, {"PYTHONIOENCODING": "ascii"}, {"TMPDIR": "/nowhere"}, {"COLUMNS": "20"}],
    ids=lambda found: "=".join(*found.items()) if found else "nothing",
)
def test_names_in_other_letters_are_embedded(images, tmp_path, environment):
    done = medfeat("extract", "-d", images, "-b", "stats", "--cache-dir", tmp_path / "c", **environment)
    assert done.returncode == 0, done.stderr
    told = medfeat("cache", "ls", "--json", "--cache-dir", tmp_path / "c", **environment)
    assert told.returncode == 0 and len(json.loads(told.stdout)["stores"]) == 1


def test_a_locale_that_cannot_spell_a_name_is_named(images, tmp_path):
    environment = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    failed = medfeat("extract", "-d", images, "-b", "stats", "--cache-dir", tmp_path / "c", **environment)
    assert failed.returncode == 1
    assert "cannot be read in the locale's encoding ascii; set LC_ALL=C.UTF-8 or PYTHONUTF8=1" in one_line(failed)


def test_without_any_home_the_message_says_what_to_set(images, tmp_path):
    failed = medfeat("extract", "-d", images, "-b", "stats", code=HOMELESS)
    assert failed.returncode == 1
    assert "no home folder is known for the cache (HOME is not set): set MEDFEAT_CACHE" in one_line(failed)
    assert medfeat("extract", "-d", images, "-b", "stats", code=HOMELESS, MEDFEAT_CACHE=str(tmp_path)).returncode == 0


@pytest.mark.parametrize("variable", ["HOME", "MEDFEAT_CACHE"])
def test_a_place_that_cannot_be_written_is_named_with_the_way_out(images, variable):
    failed = medfeat("extract", "-d", images, "-b", "stats", **{variable: "/dev/null"})
    assert failed.returncode == 1
    line = one_line(failed)
    assert "/dev/null" in line and ("--cache-dir" in line or "MEDFEAT_CACHE" in line)


def test_a_narrow_terminal_shows_whole_words():
    """In 20 columns no table can be drawn, and letters without room would be lost."""
    ours, theirs = pty.openpty()
    paths = os.pathsep.join([str(ROOT), str(ROOT / "cli"), str(ROOT / "cache")])
    environment = {"PYTHONPATH": paths, "PATH": os.environ["PATH"], "COLUMNS": "20", "TERM": "dumb"}
    with subprocess.Popen(
        [sys.executable, "-m", "medfeat", "list", "heads"], stdout=theirs, stderr=theirs, env=environment
    ) as process:
        os.close(theirs)
        told = b""
        while chunk := _read(ours):
            told += chunk
        assert process.wait(timeout=240) == 0
    os.close(ours)
    assert b"logistic" in told or b"linear" in told


def _read(descriptor):
    try:
        return os.read(descriptor, 4096)
    except OSError:  # the other end was closed
        return b""


def test_a_table_for_an_output_that_was_closed_is_no_error(monkeypatch):
    from medfeat.report.tables import Table
    from medfeat_cli import output

    monkeypatch.setattr(sys, "stdout", None)  # as Python starts with `>&-`
    output.tables([Table("", ("field", "value"), (("a", "1"),))])
