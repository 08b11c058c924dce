# SPDX-License-Identifier: Apache-2.0
import os
import subprocess
import sys

import pytest
import torch
from transformers import AutoTokenizer, BertConfig, BertModel

from surglavi_hf.training.start import IMAGE_SIZE, NUM_FRAMES, learn_tokenizer, load_model, new_tiny_model

CAPTIONS = ["The surgeon clips the cystic duct.", "The surgeon divides the cystic artery."] * 5


def test_vocabulary_is_of_cleaned_captions():
    tokenizer = learn_tokenizer(CAPTIONS)
    assert {"clips", "cystic", "artery"} <= set(tokenizer.get_vocab()) and "." not in tokenizer.get_vocab()
    assert tokenizer.tokenize("Cystic duty") == ["cystic", "d", "##u", "##t", "##y"]


def test_vocabulary_is_the_same_in_every_process():
    """Trained WordPiece vocabularies are not; two processes of a run would read each other's token ids wrong."""
    code = (
        "from surglavi_hf.training.start import learn_tokenizer;"
        f"print(sorted(learn_tokenizer({CAPTIONS!r}).get_vocab().items()))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1


def test_new_model_takes_what_its_processor_makes(tmp_path):
    model, processor = new_tiny_model(CAPTIONS)
    inputs = processor(videos=torch.zeros(NUM_FRAMES, 3, 60, 80, dtype=torch.uint8), text=CAPTIONS[:2])
    assert inputs["pixel_values"].shape == (1, NUM_FRAMES, 3, IMAGE_SIZE, IMAGE_SIZE)
    assert processor.tokenizer.unk_token_id not in inputs["input_ids"]
    assert model(**inputs).logits_per_video.shape == (1, 2)
    assert 500_000 < model.num_parameters() < 1_500_000
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    loaded, _ = load_model(str(tmp_path))
    alone = AutoTokenizer.from_pretrained(tmp_path)
    assert alone(CAPTIONS[0].lower())["input_ids"][-1] != alone.sep_token_id, "[SEP] is back"
    torch.testing.assert_close(loaded(**inputs).logits_per_video, model.eval()(**inputs).logits_per_video)


def test_what_is_no_surgclip_with_its_processor(tmp_path):
    BertModel(BertConfig(num_hidden_layers=1, hidden_size=12)).save_pretrained(tmp_path / "bert")
    with pytest.raises(ValueError, match="is a bert model, expected a SurgCLIP"):
        load_model(str(tmp_path / "bert"))
    model, processor = new_tiny_model(CAPTIONS)
    model.save_pretrained(tmp_path / "half")
    processor.video_processor.save_pretrained(tmp_path / "half")
    with pytest.raises(ValueError, match="half has no tokenizer; save one beside the weights"):
        load_model(str(tmp_path / "half"))
    model.save_pretrained(tmp_path / "other")
    processor.tokenizer.save_pretrained(tmp_path / "other")
    with pytest.raises(OSError, match=r"Can't load video processor for .*other"):
        load_model(str(tmp_path / "other"))


def test_weights_that_are_missing(tmp_path):
    model, processor = new_tiny_model(CAPTIONS)
    model.temp = None
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="do not fit its config: no temp; copy or download it again"):
        load_model(str(tmp_path))


def test_weights_of_half_precision_are_trained_in_single(tmp_path):
    model, processor = new_tiny_model(CAPTIONS)
    model.half().save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    assert {parameter.dtype for parameter in load_model(str(tmp_path))[0].parameters()} == {torch.float32}


def test_time_is_as_loud_as_the_patches():
    model, _ = new_tiny_model(CAPTIONS)
    assert model.vision_encoder.model.time_embed.std().item() == pytest.approx(1.0, rel=0.1)
