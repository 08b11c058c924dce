# SPDX-License-Identifier: Apache-2.0
"""Contrastive training of SurgCLIP with Accelerate."""

from .config import TrainingConfig
from .loop import train
from .loss import ContrastiveLoss

__all__ = ["ContrastiveLoss", "TrainingConfig", "train"]
