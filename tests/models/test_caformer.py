# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from transformers import AutoModel

from surglavi_hf.models import CAFormerConfig, CAFormerModel, convert_checkpoint

from .released import RELEASED


def test_released_sizes():
    """As many weights, by as many names, as a project that loads the released file counts."""
    with torch.device("meta"):
        model = AutoModel.from_config(CAFormerConfig())
    assert isinstance(model, CAFormerModel) and len(model.state_dict()) == 152
    assert model.state_dict()["stages.3.2.token_mixer.qkv.weight"].shape == (3 * 512, 512)


def test_a_map_and_its_mean():
    model = CAFormerModel(CAFormerConfig(hidden_sizes=[8, 8, 32, 32], depths=[1, 1, 1, 1])).eval()
    with torch.no_grad():
        outputs, as_tuple = (model(torch.zeros(2, 3, 96, 64), return_dict=each) for each in (True, False))
        pooled = model.norm(outputs.last_hidden_state.mean(dim=(2, 3)))
    assert outputs.last_hidden_state.shape == (2, 32, 3, 2) and torch.equal(outputs.pooler_output, pooled)
    assert len(as_tuple) == 2


def test_the_activation_of_other_caformers_is_refused(tmp_path):
    """That of ImageNet's has weights, by which a file tells it."""
    state = RELEASED["surgenet_caformer"].state() | {"stages.0.0.token_mixer.act1.scale": torch.ones(1)}
    torch.save(state, tmp_path / "x.pth")
    with pytest.raises(ValueError, match=r"unknown 'stages.0.0.token_mixer.act1.scale'.*as SurgeNet CAFormer"):
        convert_checkpoint(tmp_path / "x.pth", tmp_path / "out")


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"depths": [1, 1, 1]}, r"depths=\[1, 1, 1\], expected four whole numbers >= 1"),
        ({"hidden_sizes": [8, 0, 32, 32]}, "hidden_sizes=.*, expected four whole numbers >= 1"),
        ({"hidden_sizes": [8, 8, 8, 32]}, "expected multiples of attention_head_size=32 in the last two stages"),
    ],
)
def test_settings_that_are_none(settings, message):
    with pytest.raises(Exception, match=message):
        CAFormerConfig(**settings)
