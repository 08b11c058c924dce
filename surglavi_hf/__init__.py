# SPDX-License-Identifier: Apache-2.0
"""The Hugging Face home of surgical video-language research: SurgLaVi, SurgCLIP, training and evaluation.

Importing it makes `load_dataset("surglavi", …)` work and registers SurgCLIP, and the models that it is compared with,
with the Auto classes.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from .interrupts import say_interrupts_in_one_line

say_interrupts_in_one_line()  # before what takes seconds to import

from . import data, media, models, surgclip  # noqa: E402

__version__ = "0.1.0"

if TYPE_CHECKING:  # whose names tools see
    from . import evaluation as evaluation
    from . import hub as hub
    from . import training as training
    from .data import Clip as Clip
    from .data import ClipCollator as ClipCollator
    from .data import VideoClip as VideoClip
    from .data import attach_clips as attach_clips
    from .evaluation import EvalReport as EvalReport
    from .evaluation import load_benchmark as load_benchmark
    from .evaluation import predict as predict
    from .evaluation import retrieval as retrieval
    from .evaluation import zero_shot as zero_shot
    from .evaluation import zero_shot_clips as zero_shot_clips
    from .hub import push_dataset as push_dataset
    from .hub import push_model as push_model
    from .hub import push_space as push_space
    from .surgclip import SurgCLIPConfig as SurgCLIPConfig
    from .surgclip import SurgCLIPModel as SurgCLIPModel
    from .surgclip import SurgCLIPProcessor as SurgCLIPProcessor
    from .surgclip import SurgCLIPVideoProcessor as SurgCLIPVideoProcessor
    from .training import TrainingConfig as TrainingConfig
    from .training import train as train

_ROOMS = {
    "Clip": "data",
    "ClipCollator": "data",
    "VideoClip": "data",
    "attach_clips": "data",
    "EvalReport": "evaluation",
    "load_benchmark": "evaluation",
    "predict": "evaluation",
    "retrieval": "evaluation",
    "zero_shot": "evaluation",
    "zero_shot_clips": "evaluation",
    "SurgCLIPConfig": "surgclip",
    "SurgCLIPModel": "surgclip",
    "SurgCLIPProcessor": "surgclip",
    "SurgCLIPVideoProcessor": "surgclip",
    "push_dataset": "hub",
    "push_model": "hub",
    "push_space": "hub",
    "TrainingConfig": "training",
    "train": "training",
}
__all__ = ["__version__", "data", "evaluation", "hub", "media", "models", "surgclip", "training", *_ROOMS]


def __getattr__(name: str):
    # What needs transformers' models, accelerate or scikit-learn is imported when it is asked for.
    if name in ("evaluation", "hub", "training"):
        return import_module(f".{name}", __name__)
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_ROOMS[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
