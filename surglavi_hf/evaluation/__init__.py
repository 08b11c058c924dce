# SPDX-License-Identifier: Apache-2.0
"""Zero-shot classification and retrieval. Models are taken by what they can do; none is written to."""

from .embed import embed_clips, embed_texts
from .report import EvalReport
from .retrieval import retrieval
from .zero_shot import zero_shot

__all__ = ["EvalReport", "embed_clips", "embed_texts", "retrieval", "zero_shot"]
