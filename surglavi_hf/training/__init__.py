# SPDX-License-Identifier: Apache-2.0
"""Contrastive training of SurgCLIP with Accelerate."""

from .config import TrainingConfig
from .loop import train
from .loss import ContrastiveLoss, SigLIPLoss

__all__ = ["ContrastiveLoss", "SigLIPLoss", "TrainingConfig", "train"]
