# SPDX-License-Identifier: Apache-2.0
"""From narrated videos to a corpus of three levels: transcribe, segment, filter, enrich, export."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # whose names tools see
    from .agree import Agreement as Agreement
    from .agree import compare_annotations as compare_annotations
    from .corpus import open_corpus as open_corpus
    from .estimate import estimate_stages as estimate_stages
    from .export import export_corpus as export_corpus
    from .identifiers import find_identifiers as find_identifiers
    from .language_model import LanguageModel as LanguageModel
    from .language_model import ServerOptions as ServerOptions
    from .report import make_report as make_report
    from .stages import run_stage as run_stage
    from .stages import stage_settings as stage_settings
    from .transcribe import TranscribeOptions as TranscribeOptions
    from .transcribe import transcribe as transcribe
    from .views import ViewOptions as ViewOptions
    from .views import look_at_clips as look_at_clips

# Imported when asked for: some need torch, others openai.
_PARTS = {
    "Agreement": "agree",
    "LanguageModel": "language_model",
    "ServerOptions": "language_model",
    "TranscribeOptions": "transcribe",
    "ViewOptions": "views",
    "compare_annotations": "agree",
    "estimate_stages": "estimate",
    "export_corpus": "export",
    "find_identifiers": "identifiers",
    "look_at_clips": "views",
    "make_report": "report",
    "open_corpus": "corpus",
    "run_stage": "stages",
    "stage_settings": "stages",
    "transcribe": "transcribe",
}
__all__ = list(_PARTS)


def __getattr__(name: str):
    if name not in _PARTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_PARTS[name]}", __name__), name)
