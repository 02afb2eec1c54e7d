"""A file of labels that names patients late, and one with columns that are no labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from medfeat.errors import DataError
from medfeat.tasks import from_csv, official
from medfeat.types import SilentProgress
from medfeat_cache import FeatureStore

from ..workflows.embedded import embed
from ..workflows.test_grown_split import folder_of, table_of


@pytest.fixture
def drawn(counting, cache_root, tmp_path):
    with FeatureStore(embed(cache_root, folder_of(tmp_path / "mine", range(40)))) as store:
        yield store


def test_patients_who_cross_a_drawn_split_have_one_drawn_for_their_task(drawn, tmp_path):
    names = [name for group in drawn.groups for name in drawn.ids(group).tolist()]
    rows = [f"{name},{'xy'[i % 2]},p{int(Path(name).stem) // 4}" for i, name in enumerate(names)]
    (tmp_path / "l.csv").write_text("id,label,patient\n" + "\n".join(rows) + "\n")
    said = SilentProgress()
    task = from_csv(tmp_path / "l.csv", drawn, progress=said)
    pairs = set(zip(task.group.tolist(), task.split.tolist(), strict=True))
    assert len(pairs) == len(set(task.group.tolist())) == 10
    assert any("the split drawn for the dataset parts patients" in line for line in said.said)
    assert not np.array_equal(task.split, official(drawn).split)


def test_patients_who_cross_a_given_split_are_refused_with_a_way_out(counting, cache_root, tmp_path):
    file = table_of(tmp_path / "mine", range(40))
    rows = file.read_text().splitlines()
    file.write_text(
        "\n".join([f"{rows[0]},split", *(f"{r},{['train', 'val', 'test'][i % 3]}" for i, r in enumerate(rows[1:]))])
    )
    with FeatureStore(embed(cache_root, file)) as store:
        names = [name for group in store.groups for name in store.ids(group).tolist()]
        lines = [f"{name},{'xy'[i % 2]},p{i // 4}" for i, name in enumerate(names)]
        (tmp_path / "l.csv").write_text("id,label,patient\n" + "\n".join(lines) + "\n")
        with pytest.raises(DataError, match="column split, or give images, labels and patients as one CSV"):
            from_csv(tmp_path / "l.csv", store)


def test_the_column_called_diagnose_is_the_label_beside_others(drawn, tmp_path):
    names = [name for group in drawn.groups for name in drawn.ids(group).tolist()]
    rows = [f"{name},{'xy'[i % 2]},{30 + i},{i % 7}" for i, name in enumerate(names)]
    (tmp_path / "l.csv").write_text("id,Diagnose,age,diameter\n" + "\n".join(rows) + "\n")
    said = SilentProgress()
    assert from_csv(tmp_path / "l.csv", drawn, progress=said).classes == ("x", "y")
    assert any("the column Diagnose is taken for the label; not used: age, diameter" in line for line in said.said)


def test_columns_of_which_none_is_called_label_are_named_when_they_are_no_labels(drawn, tmp_path):
    names = [name for group in drawn.groups for name in drawn.ids(group).tolist()]
    rows = [f"{name},{'xy'[i % 2]},{30 + i}" for i, name in enumerate(names)]
    (tmp_path / "l.csv").write_text("id,finding,age\n" + "\n".join(rows) + "\n")
    with pytest.raises(DataError, match=r"finding, age were taken for labels.*call the one that is a label"):
        from_csv(tmp_path / "l.csv", drawn)
