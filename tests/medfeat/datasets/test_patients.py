"""One patient is one however written, in every reader, and nobody is no patient."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from PIL import Image

from medfeat.datasets import open_dataset, source_task
from medfeat.datasets.labels.patients import nobody, one_spelling
from medfeat.errors import DataError
from medfeat.types import SilentProgress

WRITTEN = {
    "numbers": (["7", "07", "7.0", "007"], ["8", "08", "8", "8.0"]),
    "capitals": (["P7", "p7", "P7", "p7"], ["P8", "P8", "p8", "p8"]),
    "Unicode": ([unicodedata.normalize(form, "Müller") for form in ("NFC", "NFD")] * 2, ["Meier"] * 4),
    "blanks": (["P 7", "P  7", " P 7", "P\u00a07"], ["P 8"] * 4),
}


@pytest.mark.parametrize("kind", WRITTEN)
def test_a_patient_of_several_spellings_is_in_one_split(tmp_path, kind):
    one, other = WRITTEN[kind]
    rows = ["path,label,patient"]
    for i in range(24):
        Image.fromarray(np.full((4, 4), i, np.uint8)).save(tmp_path / f"{i:02}.png")
        patient = (*one, *other, *(f"Q{i // 2}" for _ in range(4)))[i % 12]
        rows.append(f"{i:02}.png,{'ab'[i % 2]},{patient}")
    (tmp_path / "l.csv").write_text("\n".join(rows), encoding="utf-8")
    progress = SilentProgress()
    task = source_task(open_dataset(tmp_path / "l.csv", progress=progress))
    places = [i for i in range(24) if i % 12 < 4]
    assert len({str(task.group[i]) for i in places}) == 1
    assert len({str(task.split[i]) for i in places}) == 1
    [line] = [line for line in progress.said if "several ways" in line] if kind != "blanks" else [""]
    assert kind == "blanks" or repr(one[1].strip()) in line


@pytest.mark.parametrize("nobody_is", ["", "NA", "unknown", "-", "nan"])
def test_nobody_is_no_patient(tmp_path, nobody_is):
    for i in range(4):
        Image.fromarray(np.full((4, 4), i, np.uint8)).save(tmp_path / f"{i:02}.png")
    names = ["P1", nobody_is, "P2", nobody_is]
    rows = [f"{i:02}.png,{'ab'[i % 2]},{name}" for i, name in enumerate(names)]
    (tmp_path / "l.csv").write_text("path,label,patient\n" + "\n".join(rows))
    with pytest.raises(DataError, match=r"line 3: patient (is empty|is .*which names nobody)"):
        open_dataset(tmp_path / "l.csv")


def test_patients_of_other_names_stay_apart():
    apart = ["P7", "P07", "7", "7a", "17", "1.5", "15", "A-1", "A 1", "A1"]
    assert one_spelling(apart) == (tuple(apart), "")
    assert nobody(apart) == []
