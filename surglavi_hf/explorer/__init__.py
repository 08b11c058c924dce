# SPDX-License-Identifier: Apache-2.0
"""A corpus in the browser: seen, searched, answered by a model, corrected."""

from .serve import ExploreOptions, open_explorer, serve

__all__ = ["ExploreOptions", "open_explorer", "serve"]
