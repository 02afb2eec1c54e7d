"""How a text says what the classes of the 18 MedMNIST sets are: templates of a modality, and phrases for each class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

Phrases: TypeAlias = Mapping[str, tuple[str, ...]]

_SECTION = (
    "a histopathology image of {}",
    "an H&E stained section showing {}",
    "a microscopic image of {} in colorectal tissue",
    "this is a histopathology patch of {}",
)
_XRAY = (
    "a chest X-ray showing {}",
    "a frontal chest radiograph with {}",
    "findings consistent with {} on a chest X-ray",
    "this is a chest X-ray of a patient with {}",
)
_NO_XRAY = (
    "a chest X-ray without {}",
    "a frontal chest radiograph with no {}",
    "no evidence of {} on a chest X-ray",
    "this is a normal chest X-ray",
)
_SKIN = ("a dermatoscopic image of {}", "a dermoscopy photo of {}", "a close-up photo of a skin lesion, {}")
_OCT = (
    "an optical coherence tomography image of {}",
    "a retinal OCT scan showing {}",
    "this is an OCT B-scan of a retina with {}",
)
_FUNDUS = ("a fundus photograph of {}", "a retinal image showing {}", "this is a colour fundus image with {}")
_BREAST = (
    "a breast ultrasound image of {}",
    "a sonogram of the breast showing {}",
    "this is a breast ultrasound with {}",
)
_BLOOD = (
    "a microscopic image of {} in peripheral blood",
    "a blood smear showing {}",
    "this is a photo of {}, stained by May-Grunwald Giemsa",
)
_KIDNEY = (
    "a fluorescence microscopy image of {} of the kidney",
    "a microscopic image of {} in kidney cortex",
    "this is a kidney cortex cell from {}",
)
_CT = ("a CT slice of {}", "an abdominal CT image showing {}", "this is a computed tomography scan of {}")

_ORGANS: Phrases = {
    "bladder": ("the urinary bladder", "the bladder in the pelvis"),
    "femur-left": ("the left femur", "the head of the left femur"),
    "femur-right": ("the right femur", "the head of the right femur"),
    "heart": ("the heart", "the cardiac chambers"),
    "kidney-left": ("the left kidney",),
    "kidney-right": ("the right kidney",),
    "liver": ("the liver", "liver parenchyma"),
    "lung-left": ("the left lung",),
    "lung-right": ("the right lung",),
    "pancreas": ("the pancreas",),
    "spleen": ("the spleen",),
}

TABLE: Mapping[str, tuple[tuple[str, ...], Phrases]] = {
    "pathmnist": (
        _SECTION,
        {
            "adipose": ("adipose tissue", "fat cells"),
            "background": ("background without tissue", "an empty slide"),
            "debris": ("necrotic debris", "cell debris and necrosis"),
            "lymphocytes": ("lymphocytes", "a dense infiltrate of lymphocytes"),
            "mucus": ("mucus", "a pool of mucin"),
            "smooth muscle": ("smooth muscle", "the muscularis"),
            "normal colon mucosa": ("normal colon mucosa", "regular colonic crypts"),
            "cancer-associated stroma": ("cancer-associated stroma", "desmoplastic tumour stroma"),
            "colorectal adenocarcinoma epithelium": ("colorectal adenocarcinoma epithelium", "malignant glands"),
        },
    ),
    "chestmnist": (
        _XRAY,
        {
            "atelectasis": ("atelectasis", "collapsed lung tissue"),
            "cardiomegaly": ("cardiomegaly", "an enlarged heart"),
            "effusion": ("pleural effusion", "fluid in the pleural space"),
            "infiltration": ("infiltration", "pulmonary infiltrates"),
            "mass": ("a lung mass",),
            "nodule": ("a pulmonary nodule",),
            "pneumonia": ("pneumonia",),
            "pneumothorax": ("pneumothorax", "air in the pleural space"),
            "consolidation": ("consolidation", "airspace consolidation"),
            "edema": ("pulmonary edema",),
            "emphysema": ("emphysema", "hyperinflated lungs"),
            "fibrosis": ("pulmonary fibrosis",),
            "pleural": ("pleural thickening",),
            "hernia": ("a hiatal hernia",),
        },
    ),
    "dermamnist": (
        _SKIN,
        {
            "actinic keratoses and intraepithelial carcinoma": ("actinic keratosis", "Bowen's disease"),
            "basal cell carcinoma": ("basal cell carcinoma",),
            "benign keratosis-like lesions": ("benign keratosis", "seborrheic keratosis", "solar lentigo"),
            "dermatofibroma": ("dermatofibroma",),
            "melanoma": ("melanoma", "malignant melanoma"),
            "melanocytic nevi": ("melanocytic nevus", "a benign mole"),
            "vascular lesions": ("a vascular lesion", "an angioma"),
        },
    ),
    "octmnist": (
        _OCT,
        {
            "choroidal neovascularization": ("choroidal neovascularization", "a neovascular membrane"),
            "diabetic macular edema": ("diabetic macular edema", "intraretinal fluid in diabetes"),
            "drusen": ("drusen", "deposits under the retinal pigment epithelium"),
            "normal": ("no disease", "normal layers"),
        },
    ),
    "pneumoniamnist": (
        _XRAY,
        {"normal": ("no finding", "clear lungs"), "pneumonia": ("pneumonia", "lung opacity from pneumonia")},
    ),
    "retinamnist": (
        _FUNDUS,
        {
            "0": ("no diabetic retinopathy", "a healthy retina"),
            "1": ("mild non-proliferative diabetic retinopathy", "few microaneurysms"),
            "2": ("moderate non-proliferative diabetic retinopathy", "microaneurysms, haemorrhages and hard exudates"),
            "3": ("severe non-proliferative diabetic retinopathy", "haemorrhages in all quadrants and venous beading"),
            "4": ("proliferative diabetic retinopathy", "neovascularization or vitreous haemorrhage"),
        },
    ),
    "breastmnist": (
        _BREAST,
        {
            "malignant": ("a malignant tumour", "breast cancer, an irregular mass"),
            "normal, benign": ("a benign finding", "normal breast tissue", "a smooth benign mass"),
        },
    ),
    "bloodmnist": (
        _BLOOD,
        {
            "basophil": ("a basophil",),
            "eosinophil": ("an eosinophil",),
            "erythroblast": ("an erythroblast", "a nucleated red blood cell"),
            "immature granulocytes(myelocytes, metamyelocytes and promyelocytes)": (
                "an immature granulocyte", "a myelocyte", "a metamyelocyte", "a promyelocyte",
            ),
            "lymphocyte": ("a lymphocyte",),
            "monocyte": ("a monocyte",),
            "neutrophil": ("a neutrophil", "a segmented neutrophil"),
            "platelet": ("a platelet", "a thrombocyte"),
        },
    ),
    "tissuemnist": (
        _KIDNEY,
        {
            "Collecting Duct, Connecting Tubule": ("a collecting duct", "a connecting tubule"),
            "Distal Convoluted Tubule": ("a distal convoluted tubule",),
            "Glomerular endothelial cells": ("glomerular endothelium",),
            "Interstitial endothelial cells": ("interstitial endothelium",),
            "Leukocytes": ("leukocytes", "white blood cells"),
            "Podocytes": ("podocytes", "glomerular epithelium"),
            "Proximal Tubule Segments": ("a proximal tubule",),
            "Thick Ascending Limb": ("the thick ascending limb of Henle's loop",),
        },
    ),
    "organamnist": (("an axial CT slice of {}", *_CT), _ORGANS),
    "organcmnist": (("a coronal CT slice of {}", *_CT), _ORGANS),
    "organsmnist": (("a sagittal CT slice of {}", *_CT), _ORGANS),
    "organmnist3d": (_CT, _ORGANS),
    "nodulemnist3d": (
        ("a chest CT of {}", "a CT slice of the lung showing {}", "this is a computed tomography scan of {}"),
        {
            "benign": ("a benign pulmonary nodule", "a smooth, calcified nodule"),
            "malignant": ("a malignant pulmonary nodule", "a spiculated lung cancer"),
        },
    ),
    "adrenalmnist3d": (
        ("an abdominal CT of {}", "the shape of {}", "a segmentation of {}"),
        {
            "normal": ("a normal adrenal gland", "a thin adrenal gland"),
            "hyperplasia": ("adrenal hyperplasia", "a thickened adrenal gland with a mass"),
        },
    ),
    "fracturemnist3d": (
        ("a chest CT of {}", "a CT slice of a rib with {}", "this is a computed tomography scan of {}"),
        {
            "buckle rib fracture": ("a buckle rib fracture", "an incomplete fracture of a rib"),
            "nondisplaced rib fracture": ("a nondisplaced rib fracture",),
            "displaced rib fracture": ("a displaced rib fracture", "a rib whose fragments are apart"),
        },
    ),
    "vesselmnist3d": (
        ("an MR angiography of {}", "the shape of {}", "a model of {} reconstructed from MRA"),
        {
            "vessel": ("a healthy brain vessel", "a smooth cerebral artery"),
            "aneurysm": ("an intracranial aneurysm", "a bulging cerebral artery"),
        },
    ),
    "synapsemnist3d": (
        ("an electron microscopy image of {}", "a micrograph of {}", "this is an electron micrograph of {}"),
        {
            "inhibitory synapse": ("an inhibitory synapse", "a symmetric synapse"),
            "excitatory synapse": ("an excitatory synapse", "an asymmetric synapse"),
        },
    ),
}  # fmt: skip
"""Templates, and phrases by class, of each set."""
WITHOUT: Mapping[str, tuple[str, ...]] = {"chestmnist": _NO_XRAY}
"""Templates that say a label is not there, of sets with several labels an image."""
