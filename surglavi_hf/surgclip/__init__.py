# SPDX-License-Identifier: Apache-2.0
"""SurgCLIP as a transformers model. Importing it registers SurgCLIP with the Auto classes.

transformers' modelling code takes seconds to import, and `AutoModel.register` wants the class itself. So SurgCLIP is
entered by name into the tables from which transformers loads its own models when they are first asked for.
"""

import sys
from importlib import import_module
from types import ModuleType

import wrapt

_MODULES = {
    "SurgCLIPConfig": "configuration_surgclip",
    "SurgCLIPVisionConfig": "configuration_surgclip",
    "SurgCLIPModel": "modeling_surgclip",
    "SurgCLIPVisionModel": "modeling_surgclip",
    "SurgCLIPProcessor": "processing_surgclip",
    "SurgCLIPVideoProcessor": "video_processing_surgclip",
    "ZeroShotVideoClassificationPipeline": "pipeline_surgclip",
    "centered_window": "windows",
    "clean_caption": "processing_surgclip",
    "convert_surgclip_checkpoint": "convert_surgclip",
    "download_surgclip_checkpoint": "checkpoint_surgclip",
    "online_window": "windows",
}
__all__ = list(_MODULES)


def __getattr__(name: str):
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


# transformers resolves a model type to the module `transformers.models.<type>`, and there the class of its tables.
sys.modules["transformers.models.surgclip"] = sys.modules[__name__]
_MODEL_TYPE = "surgclip"
_TASK = "zero-shot-video-classification"  # which transformers does not have


@wrapt.when_imported("transformers.models.auto.configuration_auto")
def _register_config(module: ModuleType) -> None:
    module.CONFIG_MAPPING_NAMES[_MODEL_TYPE] = "SurgCLIPConfig"


def _add(mapping, entry: str | dict[str, str]) -> None:
    mapping._model_mapping[_MODEL_TYPE] = entry
    mapping._reverse_config_mapping["SurgCLIPConfig"] = _MODEL_TYPE  # a mapping made before us lacks it


@wrapt.when_imported("transformers.models.auto.modeling_auto")
def _register_model(module: ModuleType) -> None:
    _add(module.MODEL_MAPPING, "SurgCLIPModel")


@wrapt.when_imported("transformers.models.auto.processing_auto")
def _register_processor(module: ModuleType) -> None:
    _add(module.PROCESSOR_MAPPING, "SurgCLIPProcessor")


@wrapt.when_imported("transformers.models.auto.video_processing_auto")
def _register_video_processor(module: ModuleType) -> None:
    # One class for both backends transformers may ask for: it needs neither torchvision nor PIL.
    _add(module.VIDEO_PROCESSOR_MAPPING, {"torchvision": "SurgCLIPVideoProcessor", "pil": "SurgCLIPVideoProcessor"})


@wrapt.when_imported("transformers.pipelines")
def _register_pipeline(module: ModuleType) -> None:
    if _TASK not in module.PIPELINE_REGISTRY.supported_tasks:
        from transformers import AutoModel

        from .pipeline_surgclip import ZeroShotVideoClassificationPipeline

        module.PIPELINE_REGISTRY.register_pipeline(_TASK, ZeroShotVideoClassificationPipeline, pt_model=AutoModel)
