# SPDX-License-Identifier: Apache-2.0
"""SurgCLIP as a transformers model. Importing it registers SurgCLIP with the Auto classes."""

from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

import wrapt

from .registration import register_with_transformers as register_with_transformers

if TYPE_CHECKING:  # whose names tools see
    from .checkpoint_surgclip import HUB_MODEL as HUB_MODEL
    from .checkpoint_surgclip import check_names_and_shapes as check_names_and_shapes
    from .checkpoint_surgclip import check_values as check_values
    from .checkpoint_surgclip import download_surgclip_checkpoint as download_surgclip_checkpoint
    from .checkpoint_surgclip import load_plain as load_plain
    from .configuration_surgclip import SurgCLIPConfig as SurgCLIPConfig
    from .configuration_surgclip import SurgCLIPVisionConfig as SurgCLIPVisionConfig
    from .convert_surgclip import convert_surgclip_checkpoint as convert_surgclip_checkpoint
    from .loading import load_config as load_config
    from .loading import load_processor as load_processor
    from .loading import load_tokenizer as load_tokenizer
    from .loading import load_whole as load_whole
    from .model_folder import new_model_folder as new_model_folder
    from .model_folder import save_converted as save_converted
    from .model_folder import sha256_of as sha256_of
    from .modeling_surgclip import SurgCLIPModel as SurgCLIPModel
    from .modeling_surgclip import SurgCLIPVisionModel as SurgCLIPVisionModel
    from .pipeline_surgclip import ZeroShotVideoClassificationPipeline as ZeroShotVideoClassificationPipeline
    from .processing_surgclip import SurgCLIPProcessor as SurgCLIPProcessor
    from .processing_surgclip import clean_caption as clean_caption
    from .video_processing_surgclip import SurgCLIPVideoProcessor as SurgCLIPVideoProcessor
    from .windows import centered_window as centered_window
    from .windows import online_window as online_window

_MODULES = {
    "HUB_MODEL": "checkpoint_surgclip",
    "SurgCLIPConfig": "configuration_surgclip",
    "SurgCLIPVisionConfig": "configuration_surgclip",
    "SurgCLIPModel": "modeling_surgclip",
    "SurgCLIPVisionModel": "modeling_surgclip",
    "SurgCLIPProcessor": "processing_surgclip",
    "SurgCLIPVideoProcessor": "video_processing_surgclip",
    "ZeroShotVideoClassificationPipeline": "pipeline_surgclip",
    "centered_window": "windows",
    "check_names_and_shapes": "checkpoint_surgclip",
    "check_values": "checkpoint_surgclip",
    "clean_caption": "processing_surgclip",
    "convert_surgclip_checkpoint": "convert_surgclip",
    "download_surgclip_checkpoint": "checkpoint_surgclip",
    "load_config": "loading",
    "load_plain": "checkpoint_surgclip",
    "load_processor": "loading",
    "load_tokenizer": "loading",
    "load_whole": "loading",
    "new_model_folder": "model_folder",
    "online_window": "windows",
    "save_converted": "model_folder",
    "sha256_of": "model_folder",
}
__all__ = list(_MODULES)


def __getattr__(name: str):
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


_TASK = "zero-shot-video-classification"  # which transformers does not have

register_with_transformers(
    __name__,
    models={
        "surgclip": ("SurgCLIPConfig", "SurgCLIPModel"),
        "surgclip_vision_model": ("SurgCLIPVisionConfig", "SurgCLIPVisionModel"),
    },
    processors={"surgclip": "SurgCLIPProcessor"},
    video_processors={"surgclip": "SurgCLIPVideoProcessor"},
)


@wrapt.when_imported("transformers.pipelines")
def _register_pipeline(module: ModuleType) -> None:
    if _TASK not in module.PIPELINE_REGISTRY.supported_tasks:
        from transformers import AutoModel

        from .pipeline_surgclip import ZeroShotVideoClassificationPipeline

        module.PIPELINE_REGISTRY.register_pipeline(_TASK, ZeroShotVideoClassificationPipeline, pt_model=AutoModel)
