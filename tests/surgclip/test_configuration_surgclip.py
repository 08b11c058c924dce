# SPDX-License-Identifier: Apache-2.0
import json
import subprocess
import sys

import pytest
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig, BertConfig

from surglavi_hf import SurgCLIPConfig

from .conftest import LAYOUTS, tiny_config


def test_round_trip(tmp_path):
    config = tiny_config(layout="per_frame", drop_path_rate=0.1)
    config.save_pretrained(tmp_path)
    loaded = AutoConfig.from_pretrained(tmp_path)
    assert type(loaded) is SurgCLIPConfig and loaded.to_diff_dict() == config.to_diff_dict()
    assert type(loaded.text_config) is BertConfig and loaded.vision_config.drop_path_rate == 0.1


def test_defaults_are_surgclip_b_in_the_sound_layout():
    config = SurgCLIPConfig()
    vision = config.vision_config
    assert (vision.layout, vision.num_frames, vision.image_size, vision.hidden_size) == ("per_frame", 16, 224, 768)
    assert (config.projection_dim, config.temperature_init_value) == (256, 0.07)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layout_is_saved_whatever_the_default(layout, tmp_path):
    tiny_config(layout=layout).save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["vision_config"]["layout"] == layout


@pytest.mark.parametrize(
    "vision, message",
    [
        ({"layout": "sideways"}, "layout"),
        ({"attention_type": "joint_space_time"}, "attention_type"),
        ({"hidden_size": "48"}, "hidden_size"),
        ({"hidden_size": 50}, "hidden_size=50 is not a multiple of num_attention_heads=4"),
        ({"image_size": 30}, "image_size=30 is not a multiple of patch_size=8"),
        ({"num_frames": 0}, "num_frames=0, expected a whole number >= 1"),
        ({"patch_size": -8}, "patch_size=-8, expected a whole number >= 1"),
        ({"drop_path_rate": 1.0}, "drop_path_rate=1.0, expected 0 <= drop_path_rate < 1"),
        ({"layer_norm_eps": -1.0}, "layer_norm_eps=-1.0, expected 0 <= layer_norm_eps < 1"),
        ({"initializer_range": -0.1}, "initializer_range=-0.1, expected 0 <= initializer_range"),
        ({"hidden_act": "gelly"}, "hidden_act='gelly', expected one of gelu"),
    ],
)
def test_bad_fields_are_named(vision, message):
    with pytest.raises(StrictDataclassError, match=message):
        tiny_config(**vision)


@pytest.mark.parametrize(
    "fields, message",
    [
        ({"projection_dim": 0}, "SurgCLIPConfig.projection_dim=0"),
        ({"temperature_init_value": 0.0}, "SurgCLIPConfig.temperature_init_value=0.0, expected a finite number > 0"),
        ({"temperature_init_value": float("inf")}, "SurgCLIPConfig.temperature_init_value=inf"),
        ({"vision_config": BertConfig()}, "SurgCLIPConfig.vision_config is a BertConfig"),
        ({"vision_config": 3}, "vision_config"),
    ],
)
def test_bad_fields_of_the_whole_are_named(fields, message):
    with pytest.raises(StrictDataclassError, match=message):
        SurgCLIPConfig(**fields)


def test_other_text_encoders(tmp_path):
    config = SurgCLIPConfig(text_config={"model_type": "distilbert", "dim": 24, "n_heads": 2})
    config.save_pretrained(tmp_path)
    loaded = AutoConfig.from_pretrained(tmp_path).text_config
    assert (loaded.model_type, loaded.hidden_size) == ("distilbert", 24)
    for unknown in ("bart!", ["bert"]):
        with pytest.raises(ValueError, match=r"text_config has model_type=.*, expected one that transformers knows"):
            SurgCLIPConfig(text_config={"model_type": unknown})
    with pytest.raises(
        ValueError, match="vision_config has model_type='timesformer', expected 'surgclip_vision_model'"
    ):
        SurgCLIPConfig(vision_config={"model_type": "timesformer"})


@pytest.mark.parametrize(
    "order",
    [
        "import surglavi_hf; from transformers import AutoConfig, AutoModel",
        "from transformers import AutoConfig, AutoModel, AutoProcessor, BertModel; import surglavi_hf",
        "import surglavi_hf.surgclip.modeling_surgclip; from transformers import AutoConfig, AutoModel",
        "import surglavi_hf; from transformers import BertModel, AutoModel, AutoConfig",
    ],
)
def test_auto_classes_know_it_whichever_is_imported_first(order, tmp_path):
    tiny_config().save_pretrained(tmp_path)
    code = f"{order}; print(type(AutoModel.from_config(AutoConfig.from_pretrained({str(tmp_path)!r}))).__name__)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "SurgCLIPModel", result.stderr
