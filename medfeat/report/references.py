"""What to cite, as BibTeX: of the methods and libraries that results rest on, and of the images."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Mapping

_MEDMNIST = "yang2023medmnist"
HOLM, BOOTSTRAP, SCORE_INTERVALS, PAIRED = "holm1979", "efron1993bootstrap", "newcombe2006auc", "bandos2005permutation"
# As a sentence names what it cites.
_SAID: Mapping[str, str] = {
    HOLM: "Holm, 1979",
    BOOTSTRAP: "Efron and Tibshirani, 1993",
    SCORE_INTERVALS: "Newcombe, 2006",
    PAIRED: "Bandos, Rockette and Gur, 2005",
}
# By the name of a library, a head or a source of weights.
CITED_FOR: Mapping[str, str] = {
    "numpy": "harris2020numpy",
    "scipy": "virtanen2020scipy",
    "scikit-learn": "pedregosa2011scikit",
    "torch": "paszke2019pytorch",
    "xgboost": "chen2016xgboost",
    "timm": "wightman2019timm",
    "torchvision": "torchvision2016",
    "hf": "wolf2020transformers",
}
_ENTRIES: Mapping[str, str] = {
    "harris2020numpy": """@article{harris2020numpy,
  author = {Harris, Charles R. and others},
  title = {Array programming with {NumPy}},
  journal = {Nature},
  volume = {585},
  pages = {357--362},
  year = {2020},
  doi = {10.1038/s41586-020-2649-2}
}""",
    "virtanen2020scipy": """@article{virtanen2020scipy,
  author = {Virtanen, Pauli and others},
  title = {{SciPy} 1.0: Fundamental Algorithms for Scientific Computing in {Python}},
  journal = {Nature Methods},
  volume = {17},
  pages = {261--272},
  year = {2020},
  doi = {10.1038/s41592-019-0686-2}
}""",
    "pedregosa2011scikit": """@article{pedregosa2011scikit,
  author = {Pedregosa, Fabian and others},
  title = {{Scikit-learn}: Machine Learning in {Python}},
  journal = {Journal of Machine Learning Research},
  volume = {12},
  pages = {2825--2830},
  year = {2011}
}""",
    "paszke2019pytorch": """@inproceedings{paszke2019pytorch,
  author = {Paszke, Adam and others},
  title = {{PyTorch}: An Imperative Style, High-Performance Deep Learning Library},
  booktitle = {Advances in Neural Information Processing Systems},
  volume = {32},
  year = {2019}
}""",
    "chen2016xgboost": """@inproceedings{chen2016xgboost,
  author = {Chen, Tianqi and Guestrin, Carlos},
  title = {{XGBoost}: A Scalable Tree Boosting System},
  booktitle = {Proceedings of the 22nd ACM SIGKDD International Conference on Knowledge Discovery and Data Mining},
  pages = {785--794},
  year = {2016},
  doi = {10.1145/2939672.2939785}
}""",
    "wightman2019timm": """@misc{wightman2019timm,
  author = {Wightman, Ross},
  title = {{PyTorch} Image Models},
  year = {2019},
  doi = {10.5281/zenodo.4414861}
}""",
    "torchvision2016": """@misc{torchvision2016,
  author = {{TorchVision maintainers and contributors}},
  title = {{TorchVision}: {PyTorch}'s Computer Vision library},
  year = {2016},
  howpublished = {https://github.com/pytorch/vision}
}""",
    "wolf2020transformers": """@inproceedings{wolf2020transformers,
  author = {Wolf, Thomas and others},
  title = {Transformers: State-of-the-Art Natural Language Processing},
  booktitle = {Proceedings of EMNLP 2020: System Demonstrations},
  pages = {38--45},
  year = {2020},
  doi = {10.18653/v1/2020.emnlp-demos.6}
}""",
    HOLM: """@article{holm1979,
  author = {Holm, Sture},
  title = {A Simple Sequentially Rejective Multiple Test Procedure},
  journal = {Scandinavian Journal of Statistics},
  volume = {6},
  number = {2},
  pages = {65--70},
  year = {1979}
}""",
    BOOTSTRAP: """@book{efron1993bootstrap,
  author = {Efron, Bradley and Tibshirani, Robert J.},
  title = {An Introduction to the Bootstrap},
  publisher = {Chapman and Hall},
  year = {1993}
}""",
    SCORE_INTERVALS: """@article{newcombe2006auc,
  author = {Newcombe, Robert G.},
  title = {Confidence intervals for an effect size measure based on the {Mann-Whitney} statistic. {Part} 2: asymptotic
           methods and evaluation},
  journal = {Statistics in Medicine},
  volume = {25},
  number = {4},
  pages = {559--573},
  year = {2006},
  doi = {10.1002/sim.2324}
}""",
    PAIRED: """@article{bandos2005permutation,
  author = {Bandos, Andriy I. and Rockette, Howard E. and Gur, David},
  title = {A permutation test sensitive to differences in areas for comparing {ROC} curves from a paired design},
  journal = {Statistics in Medicine},
  volume = {24},
  number = {18},
  pages = {2873--2893},
  year = {2005},
  doi = {10.1002/sim.2149}
}""",
    _MEDMNIST: """@article{yang2023medmnist,
  author = {Yang, Jiancheng and others},
  title = {{MedMNIST} v2 - A large-scale lightweight benchmark for {2D} and {3D} biomedical image classification},
  journal = {Scientific Data},
  volume = {10},
  number = {41},
  year = {2023},
  doi = {10.1038/s41597-022-01721-8}
}""",
}


def cited(*keys: str) -> str:
    """Return works as a sentence names them; `bibtex` of the same keys has them all.

    Examples
    --------
    >>> cited(HOLM, BOOTSTRAP)
    'Holm, 1979; Efron and Tibshirani, 1993'
    """
    return "; ".join(_SAID[key] for key in keys)


def bibtex(keys: Iterable[str], said: Mapping[str, str]) -> str:
    r"""Return BibTeX entries, each once.

    Parameters
    ----------
    keys
        Of `_ENTRIES`; others are left out.
    said
        By the name of a dataset, how it asks to be cited: a known entry where that names its DOI, else a note.

    Examples
    --------
    >>> print(bibtex([], {"my scans": "Doe & Roe 2020, doi 10/x"}), end="")
    @misc{my-scans,
      title = {{my scans}},
      note = {Doe \& Roe 2020, doi 10/x}
    }
    """
    wanted = [key for key in dict.fromkeys(keys) if key in _ENTRIES]
    others = []
    for name, citation in said.items():
        known = _entry_of(citation)
        if known is None:
            others.append(_misc(name, citation))
        elif known not in wanted:
            wanted.append(known)
    return "\n\n".join([*(_ENTRIES[key] for key in wanted), *others]) + "\n"


def _entry_of(citation: str) -> str | None:
    for key, entry in _ENTRIES.items():
        doi = re.search(r"doi = \{(.*?)\}", entry)
        if doi is not None and doi[1] in citation:
            return key
    return None


def _misc(name: str, citation: str) -> str:
    key = re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-") or "data"
    return textwrap.dedent(f"""\
        @misc{{{key},
          title = {{{{{_plain(name)}}}}},
          note = {{{_plain(citation)}}}
        }}""")


def _plain(text: str) -> str:
    """Return text without what BibTeX and LaTeX would read as more than a letter."""
    text = re.sub(r"[{}\\\n]", " ", text)
    return re.sub(r"([&%$#_])", r"\\\1", text)
