# SPDX-License-Identifier: Apache-2.0
"""Models and their cards on the Hugging Face Hub."""

from .background import BackgroundPush
from .cards import render_model_card

__all__ = ["BackgroundPush", "render_model_card"]
