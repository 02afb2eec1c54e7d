"""Masks as people have them: beside their images, in folders of their own, alone, and as classes."""

import os

import pytest

from medfeat.errors import DataError

from .folders import listed, spelled


@pytest.mark.parametrize(
    "mask",
    [
        "x_mask.png", "x_mask_1.png", "x_Mask.PNG", "x-mask.png", "x mask.png", "x_seg.png", "x_segmentation.png",
        "x_Segmentation.nii.gz", "x_gt.png", "x_annotation.png", "x_label.png", "mask_x.png", "x_manual1.tif",
        "masks/x.png", "mask/x.png", "segmentation/x.png", "segmentations/x_seg.png", "GT/x.png", "annotations/x.png",
        "labels/x.png", "Masks/x_mask.jpg", "masks/2/../x.png", "thumbnails/x.png", "x_thumb.jpg", "lung masks/x.png",
        "infection_mask/x_2_seg.png/../x.png", "x_lungmask.png", "x_lung_mask.png", "x_label-lesion_mask.nii.gz",
        "lungmask_x.png", "mask.png", "x_roi.png", "x_roi_2.png", "x_Lesion.png", "x_left_lesion.png", "x_lesion/x.png",
        "x_roi/x_R1_Label4.png",
    ],
)  # fmt: skip
def test_masks_beside_their_images_are_passed_over_aloud(tree, mask):
    mask = os.path.normpath(mask)
    images, said = listed(tree("{a|b}/x.png", f"a/{mask}"))
    assert [image[0] for image in images] == ["a/x.png", "b/x.png"]
    assert said == [f"1 masks or thumbnails lie beside their images and are passed over, such as a/{mask}"]


@pytest.mark.parametrize(
    ("images", "masks"),
    [
        ("{t1|flair}", "seg"), ("{t1|flair}", "lung_mask"), ("acq-1_T1w", "label-lesion_mask"), ("image", "mask"),
        ("Dermoscopic_Image/1", "lesion/1_lesion"), ("scans/1", "masks/1"),
    ],
)  # fmt: skip
def test_masks_are_known_by_what_they_share_with_images_of_another_mark(tree, images, masks):
    images = list(spelled(f"{{a|b}}/case_{images}.png"))
    found, said = listed(tree(*images, *(f"{{a|b}}/case_{masks}.png",)))
    assert [image[0] for image in found] == sorted(images)
    assert said == [f"2 masks or thumbnails lie beside their images and are passed over, such as a/case_{masks}.png"]


@pytest.mark.parametrize("pattern", ["{img|mask}_{1|2}.png", "{image|mask}{1|2}.png", "p{1|2}/{scan|mask}.png"])
def test_masks_are_known_beside_images_that_are_named_so(tree, pattern):
    found, _ = listed(tree(f"{{a|b}}/{pattern}"))
    assert len(found) == 4 and not [image for image in found if "mask" in image[0]]


@pytest.mark.parametrize(
    "patterns",
    [
        ["{a|b}/{x|y}_lesion.png"], ["{lesion|normal}/{1|2}.png"], ["{skin_lesion|normal_images}/1.png"],
        ["{with_mask|without_mask}/{x|x_with_mask|x_no_mask}.png"], ["{a|b}/case_{t1|flair|lesion}.png"],
        ["{a|b}/{unsegmented|contoured|x_bands}.png"], ["{a|b}/{roi_1|lesion_2}.png"],
    ],
)  # fmt: skip
def test_ordinary_images_are_no_masks(tree, patterns):
    found, said = listed(tree(*patterns))
    assert len(found) == len(list(spelled(*patterns)))
    alike = [line for line in said if "called like another" in line]
    assert said == alike and len(alike) == any("{x|x_with_mask" in pattern for pattern in patterns)


@pytest.mark.parametrize(
    ("patterns", "count", "example"),
    [
        (["{a|b}/1_mask.png"], 2, "a/1_mask.png"), (["mask/{1|2}.png", "bare/3.png"], 2, "mask/1.png"),
        (["{a|b}/{1|2}.png", "a/x_{1|2_seg}.png"], 1, "a/x_2_seg.png"),
        (["{a|b}/surgical_mask_{1|2}.png", "{a|b}/respirator_3.png"], 4, "a/surgical_mask_1.png"),
        (["a/lung masks/1.png", "{a|b}/2.png"], 1, "a/lung masks/1.png"),
        (["{a|b}/boy_{mask|nomask}.png"], 2, "a/boy_mask.png"),
    ],
)  # fmt: skip
def test_masks_whose_images_are_not_there_are_read_and_said(tree, patterns, count, example):
    found, said = listed(tree(*patterns))
    assert len(found) == len(list(spelled(*patterns)))
    assert (
        f"{count} images are named like masks, and the images of these are not here, such as {example}: they are"
        in (said[0])
    )


@pytest.mark.parametrize(
    "pattern", ["{a|b}/{images|masks}/1.png", "{train|test}/{a|b}/{img|mask}/1.png", "{train|test}/{a|b}/1{|_mask}.png"]
)
def test_masks_are_known_inside_classes_and_splits(tree, pattern):
    images, _ = listed(tree(pattern))
    assert {image[2] for image in images} == {"a", "b"} and not [image for image in images if "mask" in image[0]]


@pytest.mark.parametrize("below", ["{a|b}", "{train|test}/{a|b}"])
def test_masks_are_known_by_the_folders_below_theirs(tree, below):
    images, said = listed(tree(f"{{images|masks}}/{below}/1.png"))
    assert [image[0] for image in images] == sorted(spelled(f"images/{below}/1.png"))
    assert said[0].startswith(f"{len(images)} masks or thumbnails lie beside their images and are passed over")


def test_segmentations_are_known_beside_the_channels_of_an_image(tree):
    images, _ = listed(tree("imagesTr/liver_{1|2}_000{0|1}.nii.gz", "labelsTr/liver_{1|2}.nii.gz"))
    assert len(images) == 4 and not [image for image in images if "labels" in image[0]]


def test_a_lesion_beside_an_image_of_another_mark_is_an_image(tree):
    images, _ = listed(tree("{a|b}/case_{t1|lesion|seg}.png"))
    assert [image[0] for image in images] == [f"{c}/case_{mark}.png" for c in "ab" for mark in ("lesion", "t1")]


@pytest.mark.parametrize(
    ("patterns", "classes"),
    [
        (["{mask|no_mask}/{1|2}.png"], {"mask", "no_mask"}),
        (["{with_mask|without_mask}/{1|2}.png"], {"with_mask", "without_mask"}),
        (["mask/1.png", "bare/2.png"], {"mask", "bare"}),
        (["{a|b}/1_mask.png"], {"a", "b"}),
        (["masks/{1|2}.png"], {None}),
        (["{a|b}/{scan_1|scan_2|segment}.png"], {"a", "b"}),
    ],
)
def test_masks_without_their_images_are_images(tree, patterns, classes):
    root = tree(*patterns)
    images, _ = listed(root)
    assert len(images) == len(list(spelled(*patterns))) and {image[2] for image in images} == classes


def test_a_folder_of_masks_beside_class_folders_is_refused(tree):
    with pytest.raises(DataError, match=r"each file of the folder masks has the name of an image elsewhere, such as m"):
        listed(tree("a/1.png", "b/2.png", "masks/{1|2}.png"))
