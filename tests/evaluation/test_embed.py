# SPDX-License-Identifier: Apache-2.0
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


def test_no_clips(oracle, processor, clips):
    with pytest.raises(ValueError, match="dataset is empty"):
        embed_clips(oracle, processor, clips.select([]))
