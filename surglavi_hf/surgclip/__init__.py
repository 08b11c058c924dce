# SPDX-License-Identifier: Apache-2.0
"""SurgCLIP as a transformers model. Importing it registers SurgCLIP with the Auto classes.

transformers' modelling code takes seconds to import, and `AutoModel.register` wants the class itself. So SurgCLIP is
entered by name into the tables from which transformers loads its own models when they are first asked for.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

import wrapt

if TYPE_CHECKING:  # whose names tools see
    from .checkpoint_surgclip import download_surgclip_checkpoint as download_surgclip_checkpoint
    from .configuration_surgclip import SurgCLIPConfig as SurgCLIPConfig
    from .configuration_surgclip import SurgCLIPVisionConfig as SurgCLIPVisionConfig
    from .convert_surgclip import convert_surgclip_checkpoint as convert_surgclip_checkpoint
    from .loading import load_config as load_config
    from .loading import load_processor as load_processor
    from .loading import load_whole as load_whole
    from .modeling_surgclip import SurgCLIPModel as SurgCLIPModel
    from .modeling_surgclip import SurgCLIPVisionModel as SurgCLIPVisionModel
    from .pipeline_surgclip import ZeroShotVideoClassificationPipeline as ZeroShotVideoClassificationPipeline
    from .processing_surgclip import SurgCLIPProcessor as SurgCLIPProcessor
    from .processing_surgclip import clean_caption as clean_caption
    from .video_processing_surgclip import SurgCLIPVideoProcessor as SurgCLIPVideoProcessor
    from .windows import centered_window as centered_window
    from .windows import online_window as online_window

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
    "load_config": "loading",
    "load_processor": "loading",
    "load_whole": "loading",
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
_MODELS = {
    "surgclip": ("SurgCLIPConfig", "SurgCLIPModel"),
    "surgclip_vision_model": ("SurgCLIPVisionConfig", "SurgCLIPVisionModel"),
}
_MODEL_TYPE = "surgclip"
_TASK = "zero-shot-video-classification"  # which transformers does not have
for _model_type in _MODELS:
    sys.modules[f"transformers.models.{_model_type}"] = sys.modules[__name__]


@wrapt.when_imported("transformers.models.auto.configuration_auto")
def _register_config(module: ModuleType) -> None:
    module.CONFIG_MAPPING_NAMES.update({model_type: config for model_type, (config, _) in _MODELS.items()})


def _add(mapping, entry: str | dict[str, str], model_type: str = _MODEL_TYPE) -> None:
    mapping._model_mapping[model_type] = entry
    mapping._reverse_config_mapping[_MODELS[model_type][0]] = model_type  # a mapping made before us lacks it


@wrapt.when_imported("transformers.models.auto.modeling_auto")
def _register_model(module: ModuleType) -> None:
    for model_type, (_, model) in _MODELS.items():
        _add(module.MODEL_MAPPING, model, model_type)


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
