# SPDX-License-Identifier: Apache-2.0
"""Models that SurgCLIP is compared with. Importing it registers them with the Auto classes."""

from importlib import import_module
from typing import TYPE_CHECKING

from ..surgclip import register_with_transformers

if TYPE_CHECKING:  # whose names tools see
    from .configuration_caformer import CAFormerConfig as CAFormerConfig
    from .configuration_surglime import SurgLIMEConfig as SurgLIMEConfig
    from .configuration_surgvlp import SurgVLPConfig as SurgVLPConfig
    from .convert import convert_checkpoint as convert_checkpoint
    from .image_processing_bilinear import BilinearImageProcessor as BilinearImageProcessor
    from .image_processing_pillow import PillowImageProcessor as PillowImageProcessor
    from .modeling_caformer import CAFormerModel as CAFormerModel
    from .modeling_surglime import SurgLIMEModel as SurgLIMEModel
    from .modeling_surgvlp import SurgVLPModel as SurgVLPModel
    from .processing_surglime import SurgLIMEProcessor as SurgLIMEProcessor
    from .processing_surgvlp import SurgVLPProcessor as SurgVLPProcessor

_MODULES = {
    "CAFormerConfig": "configuration_caformer",
    "CAFormerModel": "modeling_caformer",
    "BilinearImageProcessor": "image_processing_bilinear",
    "PillowImageProcessor": "image_processing_pillow",
    "SurgLIMEConfig": "configuration_surglime",
    "SurgLIMEModel": "modeling_surglime",
    "SurgLIMEProcessor": "processing_surglime",
    "SurgVLPConfig": "configuration_surgvlp",
    "SurgVLPModel": "modeling_surgvlp",
    "SurgVLPProcessor": "processing_surgvlp",
    "convert_checkpoint": "convert",
}
__all__ = list(_MODULES)


def __getattr__(name: str):
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_MODULES[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


register_with_transformers(
    __name__,
    models={
        "surgvlp": ("SurgVLPConfig", "SurgVLPModel"),
        "surglime": ("SurgLIMEConfig", "SurgLIMEModel"),
        "surgenet_caformer": ("CAFormerConfig", "CAFormerModel"),
    },
    processors={"surgvlp": "SurgVLPProcessor", "surglime": "SurgLIMEProcessor"},
    image_processors={
        "surgvlp": "PillowImageProcessor",
        "surglime": "PillowImageProcessor",
        "surgenet_caformer": "PillowImageProcessor",
        "surglavi_bilinear": "BilinearImageProcessor",  # of models of transformers
    },
)
