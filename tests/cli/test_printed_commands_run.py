"""Every command that is printed anywhere is run: of pages, help texts, messages, and what commands write."""

from __future__ import annotations

import ast
import html
import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

from medfeat_cache import find_stores
from medfeat_cli.main import run
from page_arena import lay, stand_ins
from printed_commands import PAGES, SOURCES, TREE, all_commands, examples_of, printed_on, spelled_in

pytestmark = pytest.mark.timeout(900)  # a page is dozens of commands, and the machine may be busy

# Whose blocks are run by a test of the page, with what their Python makes in between.
RUN_BY_THEIR_PAGE = {"new-tasks.md", "looking.md", "own-images.md", "extend.md", "study.md", "reproduce.md", "scale.md"}

# What a reader puts in the place of a word, by the word or option before it.
STANDS_FOR = {
    "NAME": {
        **{"--test-on": "breastmnist", "--data": "breastmnist", "--backbone": "resnet18"},
        **{"import --data": "mine", "import --backbone": "theirs"},  # whose ids are others
    },
    "NAMES": {"--data": "breastmnist", "--backbone": "stats,resnet18"},
    "FILE": {"--image": "new_images/0.png", "--labels": "labels.csv", "import": "features.npz"},
    "ID": {"--id": "test/0"},
    "OUT": "out.npz",
    "DIR": "tables",
    "COMMAND": "extract",
    **dict.fromkeys(("GRID.toml", "parts.toml"), "small.toml"),
    "FOLDER": "study-small",
    "VOLUMES": "adrenalmnist3d",
    "N": "2",
    "DIGEST": "STORE",
    **dict.fromkeys(("WHAT", "IMAGES", "./new"), "new_images"),
    **dict.fromkeys(("3f9a", "STORE"), "{store}"),
    **dict.fromkeys(("1c98691d", "RUN"), "{run}"),
    "THIS_FOLDER": "given",
    "FILE.csv": "labels.csv",
    "hf:OWNER/REPO": "hf:openai/clip-vit-base-patch16",
}

# What a page needs before its own lines.
BEFORE = {
    "commands.md": ("extract -d breastmnist -b resnet18 --pool tokens", "extract -d bloodmnist -b stats"),
    "vectors.md": ("extract -d bloodmnist -b stats",),
    "help": (
        "extract -d breastmnist -b resnet101",
        "extract -d bloodmnist -b resnet101,densenet121,stats",
        "probe -d bloodmnist",
    ),
}

# What is read here, but not done.
NOT_RUN = {
    "medfeat demo": "tests/medfeat/workflows/test_demo.py runs it",
    "medfeat --install-completion": "it changes the shell of whoever runs the tests",
}
FAILS_HERE = {"doctor": 1}  # where this machine lacks something


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A desk with a cache: two backbones and the baselines on one official set, and their runs."""
    home, desk = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("desk") / "desk"
    with stand_ins(home) as patch:
        patch.setattr("medfeat.evaluation.looking.projection.EARLY", 5)
        patch.setattr("medfeat.evaluation.looking.projection.LATE", 5)
        lay(desk)
        patch.setenv("MEDFEAT_CACHE", str(desk / "cache"))
        patch.setenv("TORCH_COMPILE_DISABLE", "1")
        assert run(["extract", "-d", "breastmnist", "-b", "stats,pixels,resnet18"]) == 0
        assert run(["probe", "--resamples", "20"]) == 0
        yield desk


@pytest.fixture
def desk(base, tmp_path, monkeypatch):
    """A copy of the desk, in which a page's commands are run."""
    shutil.copytree(base, tmp_path / "desk")
    monkeypatch.chdir(tmp_path / "desk")
    monkeypatch.setenv("MEDFEAT_CACHE", str(tmp_path / "desk" / "cache"))
    monkeypatch.setattr("typer.confirm", lambda *_given, **_options: True)
    return tmp_path / "desk"


def words_of(line: str, desk: Path) -> list[str]:
    """Return the words of a command behind `medfeat`, with what stands for a placeholder in its place."""
    words = shlex.split(line, comments=True)[1:]
    found = []
    for before, word in zip(["", *words], words, strict=False):
        meant = STANDS_FOR.get(word, word)
        if not isinstance(meant, str):
            meant = meant.get(f"import {before}" if "import" in words else "", meant[before])
        found.append(named(STANDS_FOR.get(meant, meant), desk))
    return found


def named(word: str, desk: Path) -> str:
    """Return a digest or a key that there is, where one is meant; of a network, for all can be done with it."""
    if word == "{store}":
        stores = find_stores(desk / "cache", dataset="breastmnist", backbone="resnet18") or find_stores(desk / "cache")
        return next((one for one in stores if one.recipe.get("pool") == "avg"), stores[0]).digest[:8]
    if word == "{run}":
        runs = {path.parent.name: json.loads(path.read_bytes()) for path in (desk / "cache/runs").glob("*/*/run.json")}
        return next(key for key, one in runs.items() if one["store"]["recipe"]["backbone"] == "resnet18")[:8]
    return word


def failures_of(lines, desk, capsys):
    """Run commands in order; return those that fail, with what they said."""
    failed = []
    for line in dict.fromkeys(lines):
        if line in NOT_RUN:
            refuse_unknown_options(line)
            continue
        capsys.readouterr()
        words = words_of(line, desk)
        code = run(words)
        said = capsys.readouterr().err
        asks = code == 2 and len(words) == 1 and said.count("\n") == 1  # a command by its name says what it needs
        if code not in (0, FAILS_HERE.get(words[0], 0)) and not asks:
            failed.append((line, words, said))
    return failed


def refuse_unknown_options(line: str) -> None:
    """Refuse a line that names a command or an option that there is not."""
    found, rest = TREE, shlex.split(line)[1:]
    while hasattr(found, "commands") and rest and rest[0] in found.commands:
        found = found.commands[rest.pop(0)]
    known = {option for one in found.params for option in one.opts}
    assert all(word in known for word in rest if word.startswith("-")), line


@pytest.mark.parametrize("page", [page for page in PAGES if printed_on(page)], ids=lambda page: page.name)
def test_every_command_of_a_page_runs(page, desk, capsys):
    lines = printed_on(page, bash=page.name not in RUN_BY_THEIR_PAGE)
    assert not failures_of([f"medfeat {line}" for line in BEFORE.get(page.name, ())], desk, capsys)
    assert not failures_of(lines, desk, capsys)


def test_every_example_of_a_help_text_runs(desk, capsys):
    assert not failures_of([f"medfeat {line}" for line in BEFORE["help"]], desk, capsys)
    lines = [line for _, found in all_commands() for line in examples_of(found)]
    assert len(lines) == len(list(all_commands()))
    assert not failures_of(lines, desk, capsys)


# What a message puts in where the code has no text; what is not here is said only where somebody asked for it.
PUT_IN = {"data": "breastmnist", "backbone": "resnet18", "head": "linear", "run": "RUN", "cache_dir": "cache"}
PUT_BEHIND = {
    "import": "features.npz",
    "rm": "STORE",
    "repair": "STORE",
    "verify": "STORE",
    "study": "small.toml",
    "delete": "RUN",
}


def spelled(call: ast.Call) -> str:
    """Return the command that a place in the code spells, with something there where it has a variable."""
    parts = [one.value if isinstance(one, ast.Constant) else None for one in call.args]
    options = {one.arg: one.value for one in call.keywords if one.arg not in (None, "root")}
    # What is handed on as a whole names images and network; that it does, tests of those commands say.
    handed_on = parts[:1] == ["extract"] and any(one.arg is None for one in call.keywords)
    if call.func.id.startswith("extract") or handed_on:
        parts, options = ["extract"], {"data": call, "backbone": call, **options}
    words = [part if part is not None else PUT_BEHIND[parts[-2]] for part in parts]
    for name, value in options.items():
        given = value.value if isinstance(value, ast.Constant) else PUT_IN.get(name)
        if given is not None:
            words += [f"--{name.replace('_', '-')}", *([] if given is True else [str(given)])]
    return shlex.join(["medfeat", *words])


def is_import(call: ast.Call) -> bool:
    """Tell whether a call spells an import, whose file has to be of the images that are named: tests paste these."""
    return [one.value for one in call.args if isinstance(one, ast.Constant)][:2] == ["cache", "import"]


def test_every_command_that_a_message_spells_runs(desk, capsys):
    calls = [call for path in SOURCES if path.name != "commands.py" for call in spelled_in(path)]
    lines = {
        spelled(call): None
        for call in calls
        if not is_import(call) and call.args and not isinstance(call.args[0], ast.Starred)
    }
    assert len(lines) > 30
    assert not failures_of(["medfeat export RUN --out given"], desk, capsys)
    # Several layers of a network leave no single store to ask; what removes stores comes last.
    late = {" --layer": 1, " --bag": 2, " delete ": 3, " rm ": 4}
    order = sorted(lines, key=lambda line: max((rank for word, rank in late.items() if word in line), default=0))
    assert not failures_of(order, desk, capsys)


def test_every_command_that_is_written_runs(desk, capsys):
    """Pages, cards and exported runs say by which commands they were made, and what can be done with them."""
    made = (
        "report --out report.html --tables tables",
        "explore --data breastmnist --out look.html",
        "export RUN --out given",
    )
    assert not failures_of([f"medfeat {line}" for line in made], desk, capsys)
    files = ["report.html", "look.html", "given/README.md", *Path("cache/runs").glob("*/*/card.md")]
    lines = [line for file in files for line in written_in(Path(file))]
    assert {line.split()[1] for line in lines} >= {"extract", "probe", "report", "explore", "predict"}
    assert not failures_of(lines, desk, capsys)


def written_in(path: Path) -> list[str]:
    """Return the commands that a page or a card holds."""
    text = html.unescape(path.read_text(encoding="utf-8"))
    names = "|".join(TREE.commands)
    return [line.strip() for line in re.findall(rf"medfeat (?:{names})(?: --[^<`\n\"&]*)?(?=[<`\n\"&])", text)]
