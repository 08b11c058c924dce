# SPDX-License-Identifier: Apache-2.0
import numpy as np
from PIL import Image

from surglavi_hf.evaluation.pictures import draw_predictions


def test_a_strip_for_each_clip_in_green_or_red(tmp_path, clips):
    draw_predictions(clips.select([0, 1]), ["1", "wrong"], tmp_path / "picture.png")
    picture = np.asarray(Image.open(tmp_path / "picture.png").convert("RGB")).astype(int)
    green = (picture[..., 1] > picture[..., 0] + 60).any(axis=1).nonzero()[0]
    red = (picture[..., 0] > picture[..., 1] + 60).any(axis=1).nonzero()[0]
    assert len(green) and len(red) and green.max() < red.min(), "the right clip above, the wrong one below"
    assert not list(tmp_path.glob(".*"))
