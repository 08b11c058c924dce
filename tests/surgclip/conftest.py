# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModel, BertTokenizer

from surglavi_hf import SurgCLIPConfig, SurgCLIPModel
from surglavi_hf.surgclip import convert_surgclip_checkpoint

from ..conftest import GOLDEN

LAYOUTS = ("released", "per_frame")
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "surgeon", "clip", "##s", "cystic", "duct", "s", "aid"]


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
        "drop_path_rate": 0.0,
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


def make_tokenizer(size: int = 120) -> BertTokenizer:
    """A BERT tokenizer of `size` wordpieces, the last of which never occur."""
    words = [*WORDS, *(f"unused{index}" for index in range(size - len(WORDS)))]
    return BertTokenizer(vocab={word: index for index, word in enumerate(words)})


def tiny_inputs(batch_size: int = 2) -> dict[str, torch.Tensor]:
    """Clips and as many captions for a model of `tiny_config`; the last caption is padded."""
    generator = torch.Generator().manual_seed(0)
    input_ids = torch.randint(5, 120, (batch_size, 6), generator=generator)
    attention_mask = torch.ones_like(input_ids)
    attention_mask[-1, 4:] = 0
    pixel_values = torch.rand(batch_size, 4, 3, 32, 32, generator=generator)
    return {"pixel_values": pixel_values, "input_ids": input_ids, "attention_mask": attention_mask}


@pytest.fixture
def make_model():
    """Makes an untrained tiny model in evaluation mode."""

    def make(**vision) -> SurgCLIPModel:
        torch.manual_seed(0)
        return SurgCLIPModel(tiny_config(**vision)).eval()

    return make


@pytest.fixture(scope="package")
def released_folder(tmp_path_factory):
    """The golden checkpoint, converted."""
    folder = tmp_path_factory.mktemp("released") / "model"
    return convert_surgclip_checkpoint(
        GOLDEN / "surgclip_tiny.pth", folder, tiny_config(layout="released"), make_tokenizer()
    )


@pytest.fixture
def released(released_folder) -> SurgCLIPModel:
    """The golden checkpoint, loaded by its Auto class."""
    return AutoModel.from_pretrained(released_folder)


@pytest.fixture(scope="package")
def golden() -> dict[str, torch.Tensor]:
    return load_file(GOLDEN / "surgclip_tiny.safetensors")
