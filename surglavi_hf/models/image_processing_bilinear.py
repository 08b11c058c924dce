# SPDX-License-Identifier: Apache-2.0
"""Image processor that resizes by torch's bilinear filter."""

import math

import numpy as np
import torch
from torch.nn import functional as F
from transformers.image_processing_backends import PilBackend
from transformers.image_utils import PILImageResampling


class BilinearImageProcessor(PilBackend):
    """
    Turns frames into `pixel_values` as code derived of SlowFast does: a pixel is mixed of four, however much smaller
    the frame becomes, where Pillow takes the mean of all. The shorter side is resized, and the middle cropped. All
    settings are those of the model, saved beside its weights.
    """

    do_resize = True
    resample = PILImageResampling.BILINEAR  # which transformers asks for
    do_center_crop = True
    do_rescale = True
    do_normalize = True
    do_convert_rgb = True

    def resize(self, image: np.ndarray, size, resample=None, **kwargs) -> np.ndarray:
        """Returns the picture, of shape `(3, height, width)`, as `float32`; bytes stay bytes where it has the size."""
        sides = image.shape[1:]
        if min(sides) == size.shortest_edge:
            return image
        resized = [math.floor(side / min(sides) * size.shortest_edge) for side in sides]
        pixels = torch.from_numpy(image[None]).float()
        return F.interpolate(pixels, resized, mode="bilinear", align_corners=False)[0].numpy()

    def center_crop(self, image: np.ndarray, size, **kwargs) -> np.ndarray:
        """Of an odd number of pixels too many, one more is cut off at the top or left."""
        _, height, width = image.shape
        top, left = math.ceil((height - size.height) / 2), math.ceil((width - size.width) / 2)
        return image[:, top : top + size.height, left : left + size.width]


BilinearImageProcessor.register_for_auto_class()

__all__ = ["BilinearImageProcessor"]
