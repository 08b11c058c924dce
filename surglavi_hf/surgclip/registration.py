# SPDX-License-Identifier: Apache-2.0
"""Models of ours in transformers' Auto classes.

transformers' modelling code takes seconds to import, and `AutoModel.register` wants the class itself. So models are
entered by name into the tables from which transformers loads its own when they are first asked for.
"""

import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

import wrapt

_AUTO = "transformers.models.auto"


def register_with_transformers(
    door: str,
    models: Mapping[str, tuple[str, str]],
    processors: Mapping[str, str],
    image_processors: Mapping[str, str] | None = None,
    video_processors: Mapping[str, str] | None = None,
) -> None:
    """
    Enters models by name.

    Args:
        door: The imported module in which the classes are found.
        models: For each model type its config and its model.
        processors, image_processors, video_processors: For a model type the class, where there is one; and for a name
            that is no model type a class which models of transformers are saved with.
    """
    named = (models, processors, image_processors or {}, video_processors or {})
    # transformers looks for a model type in the module `transformers.models.<type>`.
    for model_type in {name for each in named for name in each}:
        sys.modules[f"transformers.models.{model_type}"] = sys.modules[door]

    def add(mapping: Any, model_type: str, entry: str | dict[str, str]) -> None:
        mapping._model_mapping[model_type] = entry
        if model_type in models:  # which a mapping made before us lacks
            mapping._reverse_config_mapping[models[model_type][0]] = model_type

    def add_configs(module: ModuleType) -> None:
        module.CONFIG_MAPPING_NAMES.update({model_type: config for model_type, (config, _) in models.items()})

    def add_models(module: ModuleType) -> None:
        for model_type, (_, model) in models.items():
            add(module.MODEL_MAPPING, model_type, model)

    def add_processors(module: ModuleType) -> None:
        for model_type, name in processors.items():
            add(module.PROCESSOR_MAPPING, model_type, name)

    def add_image_processors(module: ModuleType) -> None:
        for model_type, name in (image_processors or {}).items():
            add(module.IMAGE_PROCESSOR_MAPPING, model_type, _of_both_backends(name))

    def add_video_processors(module: ModuleType) -> None:
        for model_type, name in (video_processors or {}).items():
            add(module.VIDEO_PROCESSOR_MAPPING, model_type, _of_both_backends(name))

    for module, hook in (
        ("configuration_auto", add_configs),
        ("modeling_auto", add_models),
        ("processing_auto", add_processors),
        ("image_processing_auto", add_image_processors),
        ("video_processing_auto", add_video_processors),
    ):
        wrapt.when_imported(f"{_AUTO}.{module}")(hook)


def _of_both_backends(name: str) -> dict[str, str]:
    """One class for both backends that transformers may ask for: ours need no torchvision."""
    return {"torchvision": name, "pil": name}
