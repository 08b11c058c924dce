# SPDX-License-Identifier: Apache-2.0
from types import SimpleNamespace

import numpy as np
import pytest

from surglavi_hf.media.picture import resized, to_rgb

IMAGE = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)


@pytest.mark.parametrize("rotation, turns", [(0, 0), (90, 1), (-90, 3), (180, 2), (-180, 2), (270, 3), (-89.6, 3)])
def test_upright(rotation, turns):
    frame = SimpleNamespace(rotation=rotation, to_ndarray=lambda **options: IMAGE)
    assert np.array_equal(to_rgb(frame), np.rot90(IMAGE, turns))


def test_resized():
    assert resized(IMAGE, IMAGE.shape) is IMAGE
    assert resized(np.full((8, 8, 3), 99, np.uint8), (4, 6, 3)).shape == (4, 6, 3)
