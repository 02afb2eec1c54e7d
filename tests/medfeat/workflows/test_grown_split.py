"""A split that was drawn stays when own images grow: no image of an earlier test comes into train unsaid."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from medfeat.datasets.splits.earlier_places import Earlier, draw_beside
from medfeat.datasets.splits.official_or_drawn import FRACTIONS
from medfeat.tasks import find_task, official
from medfeat.types import SilentProgress
from medfeat_cache import FeatureStore

from .embedded import embed


def picture(path, number):
    """Write a picture that no other number has."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(number).integers(0, 256, (12, 12), np.uint8)
    Image.fromarray(pixels).save(path)


def folder_of(folder, numbers):
    for number in numbers:
        picture(folder / "ab"[number % 2] / f"{number:03}.png", number)
    return folder


def table_of(folder, numbers, patients=None):
    """Write a CSV of pictures; `patients` tells whose each number is."""
    lines = ["path,label" + (",patient" if patients else "")]
    for number in numbers:
        picture(folder / f"{number:03}.png", number)
        lines.append(f"{number:03}.png,{'ab'[number % 2]}" + (f",{patients(number)}" if patients else ""))
    (folder / "mine.csv").write_text("\n".join(lines) + "\n")
    return folder / "mine.csv"


def npz_of(folder, numbers):
    folder.mkdir(exist_ok=True)
    images = np.stack([np.random.default_rng(n).integers(0, 256, (12, 12), np.uint8) for n in numbers])
    np.savez(folder / "mine.npz", images=images, labels=np.array(numbers) % 2)
    return folder / "mine.npz"


def question(path):
    with FeatureStore(path) as store:
        return official(store)


def places(path):
    task = question(path)
    return dict(zip(task.ids.tolist(), task.split.tolist(), strict=True))


@pytest.mark.parametrize("write", [folder_of, table_of])
def test_images_that_were_there_stay_in_their_split(counting, cache_root, tmp_path, write):
    before = places(embed(cache_root, write(tmp_path / "mine", range(40)), name="mine"))
    said = SilentProgress()
    after = places(embed(cache_root, write(tmp_path / "mine", range(60)), name="mine", progress=said))
    assert {name: after[name] for name in before} == before
    assert [list(after.values()).count(part) for part in FRACTIONS] == [42, 6, 12]
    assert any("40 images stay in the split of mine@1, 20 new ones" in line for line in said.said)


def test_images_under_other_ids_stay_where_their_pixels_were(counting, cache_root, tmp_path):
    before = places(embed(cache_root, npz_of(tmp_path / "a", range(40)), name="mine"))
    after = places(embed(cache_root, npz_of(tmp_path / "b", [*range(100, 110), *range(40)]), name="mine"))
    by_row = [[now[name] for name in sorted(now, key=lambda name: int(name.split("/")[1]))] for now in (before, after)]
    assert by_row[1][10:] == by_row[0]


def test_extracted_again_nothing_moves_and_nothing_is_said_to_have_changed(counting, cache_root, tmp_path):
    embed(cache_root, folder_of(tmp_path / "mine", range(40)))
    grown = folder_of(tmp_path / "mine", range(60))
    first = question(embed(cache_root, grown))
    said = SilentProgress()
    again = question(embed(cache_root, grown, progress=said))
    assert first.split.tolist() == again.split.tolist()
    assert again.origin == first.origin
    assert not any("official-1" in line or "changed" in line for line in said.said)


def test_a_corrected_label_moves_no_image(counting, cache_root, tmp_path):
    made = places(embed(cache_root, table_of(tmp_path / "mine", range(40))))
    file = tmp_path / "mine" / "mine.csv"
    file.write_text(file.read_text().replace("000.png,a", "000.png,b").replace("002.png,a", "002.png,b"))
    said = SilentProgress()
    assert places(embed(cache_root, file, progress=said)) == made
    assert any("2 of 40 labels and 0 places" in line for line in said.said)


def test_a_new_image_of_a_known_patient_goes_where_the_patient_is(counting, cache_root, tmp_path):
    def whose(number):
        return f"p{number % 20}"

    before = question(embed(cache_root, table_of(tmp_path / "mine", range(40), whose)))
    after = question(embed(cache_root, table_of(tmp_path / "mine", range(70), whose)))
    at = dict(zip(before.group.tolist(), before.split.tolist(), strict=True))
    assert [at[who] for who in after.group.tolist()] == after.split.tolist()


def test_a_patient_who_is_in_two_splits_now_has_all_drawn_anew_and_it_is_said(counting, cache_root, tmp_path):
    before = places(embed(cache_root, table_of(tmp_path / "mine", range(40))))
    said = SilentProgress()
    made = embed(cache_root, table_of(tmp_path / "mine", range(60), lambda number: f"p{number // 4}"), progress=said)
    after = question(made)
    pairs = set(zip(after.group.tolist(), after.split.tolist(), strict=True))
    assert len(pairs) == len(set(after.group.tolist()))
    tests = [name for name, part in before.items() if part == "test"]
    now = places(made)
    moved = sum(now[name] == "train" for name in tests)
    [line] = [line for line in said.said if "THE SPLIT OF mine@1 cannot be kept" in line]
    assert f"of its 8 test images {moved} are in train now" in line
    assert "patients would be in two splits" in line


def test_a_given_split_that_is_taken_away_is_not_kept_and_it_is_said(counting, cache_root, tmp_path):
    file = table_of(tmp_path / "mine", range(40))
    rows = file.read_text().splitlines()
    given = [f"{rows[0]},split", *(f"{row},{['train', 'val', 'test'][i % 3]}" for i, row in enumerate(rows[1:]))]
    file.write_text("\n".join(given) + "\n")
    embed(cache_root, file)
    file.write_text("\n".join(rows) + "\n")
    said = SilentProgress()
    made = embed(cache_root, file, progress=said)
    assert any("THE SPLIT OF mine before was given, and is no longer" in line for line in said.said)
    with FeatureStore(made) as store:
        assert find_task("official-1", store).origin == "own labels; split as given"


def test_one_new_image_goes_where_the_shares_lack_one():
    ids = np.array([f"{i:02}" for i in range(20)])
    there = dict.fromkeys(ids[:15].tolist(), "train") | {"15": "val", "16": "val", "17": "test", "18": "test"}
    split, how = draw_beside(ids, np.zeros(20, int), FRACTIONS, earlier=Earlier("x@1", there))
    assert split[19] == "test"
    assert how == "19 images stay in the split of x@1, 1 new one is drawn beside them; "


def test_a_split_whose_test_images_are_all_gone_is_drawn_anew():
    ids = np.array([f"{i:02}" for i in range(20)])
    there = dict.fromkeys(ids[:18].tolist(), "train") | dict.fromkeys(ids[18:].tolist(), "val")
    split, how = draw_beside(ids, np.zeros(20, int), FRACTIONS, earlier=Earlier("x@1", there))
    assert [(split == part).sum() for part in FRACTIONS] == [14, 2, 4]
    assert "test would be empty" in how
