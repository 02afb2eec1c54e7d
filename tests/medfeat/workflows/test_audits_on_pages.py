"""A page shows the audit of the images it shows, and says where there is none but of earlier images."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from medfeat.workflows.looking.leaks import audit_tables


def found(images, backbone):
    return {"images": images, "backbone": backbone, "duplicates": [], "label_errors": []}


def store(content):
    return SimpleNamespace(info={"dataset": {"source": "folder", "content": content}})


EARLIER, THESE = found("before", "vgg16"), found("now", "resnet18")


@pytest.mark.parametrize("kept", [[THESE, EARLIER], [EARLIER, THESE]])
def test_of_audits_of_several_versions_the_one_of_these_images_is_shown(kept):
    near, doubts = audit_tables(kept, {}, dataset="scans", stores=[store("now")])
    assert "resnet18" in near.title and "resnet18" in doubts.title and near.notes == ("None.",)


def test_an_audit_of_earlier_images_says_so_and_how_to_look_at_these():
    for table in audit_tables([EARLIER], {}, dataset="scans", stores=[store("now")]):
        assert table.notes[-1].startswith("Found when there were other images; `medfeat audit --data scans ")


@pytest.mark.parametrize("images", ["", None])
def test_an_audit_of_an_official_set_or_of_before_is_taken_as_it_is(images):
    one = found(images, "vgg16")
    assert audit_tables([one], {}, dataset="scans", stores=[store("now")])[1].notes == ()
