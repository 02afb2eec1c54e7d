"""A page shows what users wrote as text, and can fetch nothing."""

from __future__ import annotations

import base64
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from medfeat.report.page import pictures
from medfeat.report.page.columns import UNKNOWN, PointColumn, coordinates
from medfeat.report.page.explore import picked
from medfeat.report.page.html import Page, Section, element, table, text_of
from medfeat.report.page.page_names import scrubbed, shown_ids
from medfeat.report.tables import Table

EVIL = '<script>alert(1)</script> "quoted" & \x00\ud800'


def page(**parts):
    return text_of(Page("t", "l", (Section("a", "A", (element("p", EVIL, title=EVIL),)),), **parts))


def test_text_and_attributes_are_escaped():
    text = page()
    assert text.startswith("<!doctype html>\n<html")
    assert "<script>alert" not in text
    assert text.count("&lt;script&gt;alert(1)&lt;/script&gt;") == 2
    assert "\x00" not in text


def test_data_cannot_end_its_script():
    text = page(data={"map-data": {"ids": ["</script><script>alert(1)</script>", "<!--"]}})
    content = re.search(r'<script type="application/json" id="map-data">(.*?)</script>', text, re.DOTALL)[1]
    assert json.loads(content) == {"ids": ["</script><script>alert(1)</script>", "<!--"]}
    assert "<!--" not in content


def test_a_page_forbids_requests_and_other_scripts():
    text = page(scripts=("page.js", "map.js"))
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)[1]
    assert "default-src &#39;none&#39;" in policy and policy.count("sha256-") == 2
    assert "unsafe-inline" not in policy.partition("script-src")[2]
    assert not re.search(r'(src|href)="(https?:|//)', text)


def test_thumbnails_lie_in_rows_and_a_full_sheet_is_followed_by_another(monkeypatch):
    monkeypatch.setattr(pictures, "ACROSS", 2)
    monkeypatch.setattr(pictures, "EACH", 4)
    addresses = list(pictures.sheets((np.full((8, 16), 40 * i, np.uint8) for i in range(1, 6)), 8, 16))
    read = [Image.open(io.BytesIO(base64.b64decode(one.partition(",")[2]))).convert("L") for one in addresses]
    greys = [np.asarray(one, float).reshape(-1, 8, 2, 16).mean(axis=(1, 3)) for one in read]
    np.testing.assert_allclose(np.concatenate(greys), [[40, 80], [120, 160], [200, 0]], atol=4)


def test_the_few_pictures_of_a_class_are_spread_over_all_of_its_images():
    member = np.arange(300) % 3 == 1  # rows 1, 4, ..., 298
    assert picked(member, 4).tolist() == [1, 100, 199, 298]
    assert picked(member[:9], 4).tolist() == [1, 4, 7] and picked(np.zeros(5, bool)).tolist() == []


def test_cells_of_a_table_are_escaped():
    assert "&lt;b&gt;" in table(Table("", ("<b>",), (("1",), ("2",))))


def test_names_of_patients_and_identifiers_do_not_reach_a_page():
    ids = ["DOE^JANE/1.2.840.10008.1.2.dcm", "DOE^JANE/1.2.840.10008.1.3.dcm", "x/scan 1.5 mm.png"]
    shown = shown_ids(ids, ["DOE^JANE", "DOE^JANE", "x"])
    assert shown == ["patient 1/uid 1.dcm", "patient 1/uid 2.dcm", "x/scan 1.5 mm.png"]


def test_what_a_decoder_said_names_no_patient_and_no_identifier():
    said = scrubbed(
        "patient DOE^JANE of DOE^JANE-2: no pixels in 1.2.840.10008.1.2.dcm", ["DOE^JANE", "DOE^JANE-2", "a"]
    )
    assert said == "patient (a patient) of (a patient): no pixels in (a uid).dcm"


def test_a_table_without_rows_is_its_title_and_notes():
    text = table(Table("Leaks", ("a",), (), ("None: `medfeat audit` <looks>.",)))
    assert text == '<h3>Leaks</h3><p class="note">None: <code>medfeat audit</code> &lt;looks&gt;.</p>'


def test_ids_stay_different_when_what_told_them_apart_is_hidden():
    shown = shown_ids(["x/1.png", "anna/1.png", "patient 2/1.png"], ["x", "anna", "y"])
    assert shown == ["x/1.png", "patient 2/1.png", "patient 2/1.png (row 3)"]


def test_coordinates_share_one_scale_and_mark_what_is_absent():
    packed = coordinates(np.array([[0, 0], [10, 5], [np.nan, 1]], np.float32), 2)
    found = np.frombuffer(base64.b64decode(packed), "<u2").reshape(3, 2)
    assert found.tolist() == [[0, 16250], [65000, 48750], [65535, 65535]]


def test_a_column_of_words_keeps_the_order_of_classes_and_knows_what_is_missing():
    plain = PointColumn("class", words=["b", "a", UNKNOWN, "a"], order=("a", "b", "never")).to_dict()
    assert plain["values"] == ["a", "b", UNKNOWN] and plain["missing"] == 2
    assert np.frombuffer(base64.b64decode(plain["codes"]), "<u2").tolist() == [1, 0, 2, 0]


def test_a_column_of_more_words_than_it_may_have_keeps_the_most_frequent_and_counts_the_others():
    words = [f"w{i:02}" for i in range(64) for _ in range(70 - i)]  # w00 seventy times, w63 seven times
    whole = PointColumn("word", words=words).to_dict()
    assert whole["values"] == [f"w{i:02}" for i in range(64)]
    cut = PointColumn("word", words=[*words, "rare", "rarer"]).to_dict()
    assert cut["values"] == [*(f"w{i:02}" for i in range(63)), "3 others"]
    codes = np.frombuffer(base64.b64decode(cut["codes"]), "<u2")
    assert codes.tolist() == [min(i, 63) for i in range(64) for _ in range(70 - i)] + [63, 63]


@pytest.mark.parametrize("values", [[1.0, 2.0, np.nan], [np.nan] * 3])
def test_a_column_of_numbers_has_a_finite_range(values):
    assert np.isfinite(PointColumn("n", numbers=np.array(values)).to_dict()["range"]).all()


def test_masks_show_how_much_of_them_is_white():
    from medfeat.report.page import charts

    histogram = np.zeros((2, 1, 256), np.int64)
    histogram[:, 0, 0], histogram[:, 0, 255] = (75, 50), (25, 50)
    assert charts.is_black_and_white(histogram)
    drawn = {text.get_text() for text in charts.histogram_figure(["a", "b"], histogram).axes[0].texts}
    assert drawn == {"25.0%", "50.0%"}
    histogram[0, 0, 7] = 1
    assert not charts.is_black_and_white(histogram)
