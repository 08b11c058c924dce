# SPDX-License-Identifier: Apache-2.0
"""Models, datasets and their cards on the Hugging Face Hub."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # whose names tools see
    from .background import BackgroundPush as BackgroundPush
    from .cards import render_model_card as render_model_card
    from .dataset_push import PushedDataset as PushedDataset
    from .dataset_push import push_dataset as push_dataset
    from .failures import HubError as HubError
    from .model_push import push_model as push_model
    from .repository import Pushed as Pushed
    from .reviews_push import ProposedReviews as ProposedReviews
    from .reviews_push import push_reviews as push_reviews
    from .space_push import PushedSpace as PushedSpace
    from .space_push import push_space as push_space

# Imported when asked for: training needs cards and pushing in the background, not the datasets.
_PARTS = {
    "BackgroundPush": "background",
    "HubError": "failures",
    "ProposedReviews": "reviews_push",
    "Pushed": "repository",
    "PushedDataset": "dataset_push",
    "PushedSpace": "space_push",
    "push_dataset": "dataset_push",
    "push_model": "model_push",
    "push_reviews": "reviews_push",
    "push_space": "space_push",
    "render_model_card": "cards",
}
__all__ = list(_PARTS)


def __getattr__(name: str):
    if name not in _PARTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_PARTS[name]}", __name__), name)
