# SPDX-License-Identifier: Apache-2.0
"""The Hugging Face home of surgical video-language research: SurgLaVi, SurgCLIP, training and evaluation.

Importing it makes `load_dataset("surglavi", …)` work and registers SurgCLIP with the Auto classes.
"""

from importlib import import_module

from . import data, surgclip

__version__ = "0.1.0"

_ROOMS = {
    "Clip": "data",
    "ClipCollator": "data",
    "VideoClip": "data",
    "EvalReport": "evaluation",
    "retrieval": "evaluation",
    "zero_shot": "evaluation",
    "SurgCLIPConfig": "surgclip",
    "SurgCLIPModel": "surgclip",
    "SurgCLIPProcessor": "surgclip",
    "SurgCLIPVideoProcessor": "surgclip",
    "TrainingConfig": "training",
    "train": "training",
}
__all__ = ["__version__", "data", "surgclip", *_ROOMS]


def __getattr__(name: str):
    # torch's, transformers' and scikit-learn's parts are imported when a name that needs them is asked for.
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_ROOMS[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
