# SPDX-License-Identifier: Apache-2.0
"""The Hugging Face home of surgical video-language research: SurgLaVi, SurgCLIP, training and evaluation.

Importing it makes `load_dataset("surglavi", …)` work and registers SurgCLIP with the Auto classes.
"""

from importlib import import_module

from .interrupts import say_interrupts_in_one_line

say_interrupts_in_one_line()  # before what takes seconds to import

from . import data, media, surgclip  # noqa: E402

__version__ = "0.1.0"

_ROOMS = {
    "Clip": "data",
    "ClipCollator": "data",
    "VideoClip": "data",
    "attach_clips": "data",
    "EvalReport": "evaluation",
    "load_benchmark": "evaluation",
    "retrieval": "evaluation",
    "zero_shot": "evaluation",
    "zero_shot_clips": "evaluation",
    "SurgCLIPConfig": "surgclip",
    "SurgCLIPModel": "surgclip",
    "SurgCLIPProcessor": "surgclip",
    "SurgCLIPVideoProcessor": "surgclip",
    "push_dataset": "hub",
    "push_model": "hub",
    "TrainingConfig": "training",
    "train": "training",
}
__all__ = ["__version__", "data", "evaluation", "hub", "media", "surgclip", "training", *_ROOMS]


def __getattr__(name: str):
    # What needs transformers' models, accelerate or scikit-learn is imported when it is asked for.
    if name in ("evaluation", "hub", "training"):
        return import_module(f".{name}", __name__)
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_ROOMS[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
