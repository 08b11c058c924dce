# SPDX-License-Identifier: Apache-2.0
import pytest

from surglavi_hf import SurgCLIPConfig, SurgCLIPModel


def tiny_config(**vision) -> SurgCLIPConfig:
    """Sizes of the golden model; `vision` changes fields of its video encoder."""
    vision = {
        "image_size": 32,
        "patch_size": 8,
        "hidden_size": 48,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "intermediate_size": 192,
        "num_frames": 4,
        **vision,
    }
    text = {
        "vocab_size": 120,
        "hidden_size": 40,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 160,
        "max_position_embeddings": 64,
    }
    return SurgCLIPConfig(vision_config=vision, text_config=text, projection_dim=24)


@pytest.fixture
def make_model():
    """Makes an untrained tiny model in evaluation mode."""

    def make(**vision) -> SurgCLIPModel:
        return SurgCLIPModel(tiny_config(**vision)).eval()

    return make
