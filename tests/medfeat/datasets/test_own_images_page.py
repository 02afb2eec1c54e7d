"""The page "bring your own images" does what it says, block by block."""

import itertools
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from medfeat.datasets import open_dataset

PAGE = Path(__file__).parents[3] / "docs" / "own-images.md"
BLOCKS = re.findall(r"^```(python|bash)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def picture(path, seed, shape=(12, 14, 3)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, np.uint8)).save(path)


@pytest.fixture
def there(tmp_path, monkeypatch, dicom):
    """A folder with everything the page names."""
    for i in range(30):
        picture(tmp_path / "skin" / ("benign" if i % 2 else "malignant") / f"{i}.png", i)
    rows = []
    for i in range(40):
        picture(tmp_path / "img" / f"{i:04}.png", 100 + i)
        rows.append(f"img/{i:04}.png,{'benign' if i % 3 else 'malignant'},p{i // 2}")
    (tmp_path / "lesions.csv").write_text("path,label,patient\n" + "\n".join(rows) + "\n")
    (tmp_path / "findings.csv").write_text("path,edema,mass\nimg/0001.png,1,0\nimg/0002.png,1,1\nimg/0003.png,0,0\n")
    (tmp_path / "ct").mkdir()
    for i in range(3):
        values = np.random.default_rng(i).integers(-1000, 1000, (8, 8), np.int32)
        Image.fromarray(values).save(tmp_path / "ct" / f"{i}.tif")
    for case, z in itertools.product(range(20), range(3)):
        dicom(
            tmp_path / "scans" / ("sick" if case % 2 else "well") / f"case{case:02}" / f"IM{z}",
            np.full((8, 8), 100 * case + z, np.uint16),
            Modality="CT", SeriesInstanceUID=f"1.2.{case}", PatientID=f"P{case}",
            RescaleSlope=1, RescaleIntercept=-1024, PixelSpacing=[1, 1],
            ImagePositionPatient=[0, 0, 2 * z], ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
        )  # fmt: skip
    picture(tmp_path / "damaged" / "fine.png", 0)
    (tmp_path / "damaged" / "text.png").write_text("words")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MEDFEAT_CACHE", str(tmp_path / "cache"))
    return tmp_path


def test_the_page_has_blocks_of_both_kinds():
    assert {kind for kind, _ in BLOCKS} == {"python", "bash"}


def test_python_blocks_run_and_print_what_the_text_promises(there, capsys):
    scope = {}
    for kind, text in BLOCKS:
        if kind == "python":
            exec(compile(text, str(PAGE), "exec"), scope)
    printed = capsys.readouterr().out
    for promised in (
        "('benign', 'malignant') {'all': 30}",
        "split stratified 70/10/20 from seed 0",
        "multi-label ('edema', 'mass')",
        "{'all': 60}",
        "3 ('sick', 'well') sick/case01",
        "no intensity is declared",
        "text.png - no image of PNG",
    ):
        assert promised in printed


def test_commands_run_with_a_weights_free_backbone_in_place(there):
    from medfeat_cli.main import run

    open_dataset("./skin")  # the page's own data opens before the commands are tried
    np.savez_compressed("mine.npz", images=np.zeros((20, 8, 8), np.uint8), labels=np.arange(20) % 2)
    commands = [line for kind, text in BLOCKS if kind == "bash" for line in text.splitlines() if line]
    assert all(command.startswith("medfeat ") for command in commands)
    for command in commands:
        arguments = shlex.split(command.replace("resnet50", "stats"))[1:]
        assert run(arguments) == 0, command
    assert {path.parts[-3] for path in (there / "cache").rglob("*.h5")} >= {"skin", "lesions", "mine", "ct", "scans"}
