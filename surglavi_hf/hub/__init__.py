# SPDX-License-Identifier: Apache-2.0
"""Models, datasets and their cards on the Hugging Face Hub."""

from importlib import import_module

# Imported when asked for: training needs cards and pushing in the background, not the datasets.
_PARTS = {
    "BackgroundPush": "background",
    "HubError": "failures",
    "Pushed": "repository",
    "PushedDataset": "dataset_push",
    "push_dataset": "dataset_push",
    "push_model": "model_push",
    "render_model_card": "cards",
}
__all__ = list(_PARTS)


def __getattr__(name: str):
    if name not in _PARTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_PARTS[name]}", __name__), name)
