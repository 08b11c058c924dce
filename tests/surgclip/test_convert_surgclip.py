# SPDX-License-Identifier: Apache-2.0
import pickle

import pytest
import torch
from safetensors.torch import load_file

from surglavi_hf.surgclip import SurgCLIPVideoProcessor, convert_surgclip_checkpoint

from ..conftest import GOLDEN
from .conftest import tiny_config

CHECKPOINT = GOLDEN / "surgclip_tiny.pth"


def test_names_shapes_and_bytes_are_kept(tmp_path):
    folder = convert_surgclip_checkpoint(CHECKPOINT, tmp_path / "new" / "model", tiny_config())
    released, written = torch.load(CHECKPOINT, weights_only=True), load_file(folder / "model.safetensors")
    assert set(released) == set(written)
    assert all(torch.equal(tensor, written[name]) for name, tensor in released.items())
    processor = SurgCLIPVideoProcessor.from_pretrained(folder)
    assert processor.size == {"height": 32, "width": 32} and processor.num_frames == 4


class Harmful:
    def __reduce__(self):
        return (print, ("code of the checkpoint ran",))


@pytest.mark.parametrize("kind", ["pickle that runs code", "cut short", "not a state dictionary", "missing", "shape"])
def test_refused_with_a_reason_and_nothing_written(tmp_path, kind, capsys):
    checkpoint = tmp_path / "checkpoint.pth"
    state = torch.load(CHECKPOINT, weights_only=True)
    if kind == "pickle that runs code":
        checkpoint.write_bytes(pickle.dumps(Harmful()))
        message = "cannot be read as plain weights"
    elif kind == "cut short":
        checkpoint.write_bytes(CHECKPOINT.read_bytes()[:10_000])
        message = "cannot be read as plain weights"
    elif kind == "not a state dictionary":
        torch.save([1, 2], checkpoint)
        message = "holds a list"
    elif kind == "missing":
        state["tempx"] = state.pop("temp")
        torch.save(state, checkpoint)
        message = "no temp; unknown tempx"
    else:
        torch.save({**state, "vision_proj.bias": torch.zeros(3)}, checkpoint)
        message = r"vision_proj.bias of shape \(3,\) instead of \(24,\)"
    with pytest.raises(ValueError, match=message) as caught:
        convert_surgclip_checkpoint(checkpoint, tmp_path / "model", tiny_config())
    assert "\n" not in str(caught.value) and "checkpoint.pth" in str(caught.value)
    assert list(tmp_path.iterdir()) == [checkpoint]
    assert "code of the checkpoint" not in capsys.readouterr().out


def test_missing_checkpoint(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"gone\.pth"):
        convert_surgclip_checkpoint(tmp_path / "gone.pth", tmp_path / "model", tiny_config())


def test_a_folder_with_files_is_left_alone(tmp_path):
    (tmp_path / "precious.txt").write_text("x")
    with pytest.raises(FileExistsError, match="not empty"):
        convert_surgclip_checkpoint(CHECKPOINT, tmp_path, tiny_config())
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]


def test_the_other_layout_is_refused(tmp_path):
    with pytest.raises(ValueError, match="layout='released'"):
        convert_surgclip_checkpoint(CHECKPOINT, tmp_path / "model", tiny_config(layout="per_frame"))
