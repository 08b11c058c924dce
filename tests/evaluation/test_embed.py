# SPDX-License-Identifier: Apache-2.0
from types import SimpleNamespace

import pytest
import torch

from surglavi_hf.evaluation import embed_clips, embed_texts


def test_rows_and_batches(oracle, processor, clips):
    embeds = embed_clips(oracle, processor, clips)
    assert embeds.argmax(dim=1).tolist() == [1, 0, 1, 2]
    assert torch.equal(embeds, embed_clips(oracle, processor, clips, batch_size=3, num_workers=1))
    texts = embed_texts(oracle, processor, ["3", "1", "2"])
    assert texts.argmax(dim=1).tolist() == [3, 1, 2]
    assert torch.equal(texts, embed_texts(oracle, processor, ["3", "1", "2"], batch_size=2))


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_as_it_was(oracle, processor, clips, training):
    oracle.train(training)
    embed_clips(oracle, processor, clips)
    assert oracle.training is training


def test_nothing_but_clips_is_needed(oracle, processor, clips):
    assert torch.equal(
        embed_clips(oracle, processor, clips.select_columns("clip")), embed_clips(oracle, processor, clips)
    )


def test_a_model_that_gives_no_numbers_is_an_error(oracle, processor, clips, monkeypatch):
    """Compared with NaN everything is false, and a rank by counting would be perfect."""
    nothing = SimpleNamespace(pooler_output=torch.full((2, 5), torch.nan))
    monkeypatch.setattr(type(oracle), "get_video_features", lambda self, pixel_values: nothing)
    monkeypatch.setattr(type(oracle), "get_text_features", lambda self, input_ids: nothing)
    with pytest.raises(ValueError, match="embeddings of 2 of 2 clips are not finite"):
        embed_clips(oracle, processor, clips.select([0, 1]))
    with pytest.raises(ValueError, match="embeddings of 2 of 2 texts are not finite"):
        embed_texts(oracle, processor, ["1", "2"])


def test_no_clips(oracle, processor, clips):
    with pytest.raises(ValueError, match="dataset is empty"):
        embed_clips(oracle, processor, clips.select([]))
