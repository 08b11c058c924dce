# SPDX-License-Identifier: Apache-2.0
"""Image processor that is always Pillow's."""

from transformers.image_processing_backends import PilBackend


class PillowImageProcessor(PilBackend):
    """
    Turns frames into `pixel_values` as the released code of several models does: a resize by Pillow, a crop of the
    middle, and normalisation. transformers' own image processors resize by torchvision where that is installed, which
    gives other numbers. All settings are those of the model, saved beside its weights.
    """

    do_resize = True
    do_rescale = True
    do_normalize = True
    do_convert_rgb = True


PillowImageProcessor.register_for_auto_class()

__all__ = ["PillowImageProcessor"]
