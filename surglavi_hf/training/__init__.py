# SPDX-License-Identifier: Apache-2.0
"""Contrastive training of SurgCLIP with Accelerate."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # whose names tools see
    from .config import TrainingConfig as TrainingConfig
    from .loop import train as train
    from .loss import ContrastiveLoss as ContrastiveLoss
    from .loss import SigLIPLoss as SigLIPLoss

_MODULES = {"ContrastiveLoss": "loss", "SigLIPLoss": "loss", "TrainingConfig": "config", "train": "loop"}
__all__ = [*_MODULES]


def __getattr__(name: str):
    # transformers' modelling code takes seconds to import, for which `--help` should not wait.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
