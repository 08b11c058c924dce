# SPDX-License-Identifier: Apache-2.0
import pytest
import torch
from datasets import Dataset
from transformers import AutoProcessor, AutoTokenizer, PreTrainedTokenizerFast, RobertaTokenizer

from surglavi_hf import SurgCLIPProcessor, SurgCLIPVideoProcessor
from surglavi_hf.surgclip import clean_caption

from .conftest import WORDS, make_tokenizer


@pytest.fixture
def processor():
    return SurgCLIPProcessor(SurgCLIPVideoProcessor(size={"height": 16, "width": 16}, num_frames=3), make_tokenizer())


@pytest.mark.parametrize(
    "caption, cleaned",
    [
        ("The surgeon clips the cystic duct.", "clips the cystic duct"),
        ("the surgeon stays in lower case", "the surgeon stays in lower case"),
        ("The surgeon's aid", "s aid"),
        ('A "quoted" (aside): 3-port/4-port; ~5 #1 *2!?', "a quoted aside 3 port 4 port 5 1 2"),
        ("two\n lines, and \t  gaps, a\ttab", "two lines and gaps a\ttab"),
        ("", ""),
    ],
)
def test_clean_caption(caption, cleaned):
    assert clean_caption(caption) == cleaned


def test_cls_and_wordpieces_without_sep(processor):
    inputs = processor(text=["The surgeon clips the cystic duct.", "duct"])
    names = [[WORDS[index] for index in row] for row in inputs["input_ids"].tolist()]
    assert names == [["[CLS]", "clip", "##s", "the", "cystic", "duct"], ["[CLS]", "duct"] + ["[PAD]"] * 4]
    assert inputs["attention_mask"].tolist() == [[1] * 6, [1, 1, 0, 0, 0, 0]]
    assert set(inputs) == {"input_ids", "attention_mask"}


def test_at_most_77_tokens(processor):
    assert processor(text="duct " * 200)["input_ids"].shape == (1, 77)


def test_the_tokenizers_arguments(processor):
    inputs = processor(text=["duct", "the duct"], padding="max_length", max_length=6, truncation=True)
    assert inputs["input_ids"].shape == (2, 6)


def test_cleaning_is_a_saved_setting(processor, tmp_path):
    raw = SurgCLIPProcessor(processor.video_processor, processor.tokenizer, text_preprocess=False)
    caption = "The surgeon clips"
    assert raw(text=caption)["input_ids"].shape[1] == 5 and processor(text=caption)["input_ids"].shape[1] == 3
    raw.save_pretrained(tmp_path)
    assert AutoProcessor.from_pretrained(tmp_path).text_preprocess is False


def test_auto_processor(processor, tmp_path):
    processor.save_pretrained(tmp_path)
    loaded = AutoProcessor.from_pretrained(tmp_path)
    clip = torch.randint(0, 256, (3, 3, 20, 30), dtype=torch.uint8)
    one, two = (each(videos=clip, text="The surgeon clips the duct") for each in (processor, loaded))
    assert type(loaded) is SurgCLIPProcessor and set(one) == {"pixel_values", "input_ids", "attention_mask"}
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_the_saved_tokenizer_alone_writes_the_same(processor, tmp_path):
    processor.save_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert tokenizer("duct").input_ids == processor(text="duct")["input_ids"][0].tolist() == [2, 10]
    assert tokenizer.model_max_length == 77 and set(tokenizer("duct")) == {"input_ids", "attention_mask"}


def test_the_given_tokenizer_stays_as_it_was():
    tokenizer = make_tokenizer()
    SurgCLIPProcessor(SurgCLIPVideoProcessor(), tokenizer)
    assert tokenizer("duct").input_ids == [2, 10, 3]


def test_other_tokenizers_of_the_family():
    vocab = {piece: index for index, piece in enumerate(["<s>", "<pad>", "</s>", "<unk>", "<mask>", "d", "u", "du"])}
    processor = SurgCLIPProcessor(SurgCLIPVideoProcessor(), RobertaTokenizer(vocab=vocab, merges=[("d", "u")]))
    assert processor(text=["du", "dud"])["input_ids"].tolist() == [[0, 7, 1], [0, 7, 5]]


def test_a_tokenizer_without_cls():
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=make_tokenizer().backend_tokenizer)
    with pytest.raises(ValueError, match="has no CLS token"):
        SurgCLIPProcessor(SurgCLIPVideoProcessor(), tokenizer)


def test_arguments_for_videos(processor):
    clip = torch.zeros(9, 16, 3, 3, dtype=torch.uint8)
    inputs = processor(videos=clip, num_frames=5, input_data_format="channels_last")
    assert inputs["pixel_values"].shape == (1, 5, 3, 16, 16)
    for given in ({"videos": clip}, {"text": "duct"}):
        with pytest.raises(TypeError, match="number_of_frames"):
            processor(**given, number_of_frames=5)


def test_columns_of_a_dataset(processor):
    clips = [torch.zeros(3, 16, 16, 3, dtype=torch.uint8).numpy().tolist()] * 2
    dataset = Dataset.from_dict({"caption": ["duct", "the duct"], "clip": clips}).with_format("torch")
    inputs = processor(videos=[clip.byte() for clip in dataset["clip"]], text=dataset["caption"])
    assert inputs["pixel_values"].shape == (2, 3, 3, 16, 16) and inputs["input_ids"].shape == (2, 3)


def test_a_tokenizer_of_fewer_tokens():
    tokenizer = make_tokenizer()
    tokenizer.model_max_length = 12
    processor = SurgCLIPProcessor(SurgCLIPVideoProcessor(), tokenizer)
    assert processor(text="duct " * 20)["input_ids"].shape == (1, 12)


@pytest.mark.parametrize("text_preprocess", ["false", 0, None])
def test_cleaning_is_a_bool(text_preprocess):
    with pytest.raises(ValueError, match=r"text_preprocess=.*, expected True or False"):
        SurgCLIPProcessor(SurgCLIPVideoProcessor(), make_tokenizer(), text_preprocess=text_preprocess)


@pytest.mark.parametrize(
    "text, found", [(["duct", None], "None"), ([], r"\[\]"), ([3], "3"), (3, "3"), ({"a": 1}, "{'a': 1}")]
)
def test_what_is_no_caption(processor, text, found):
    with pytest.raises(ValueError, match=f"text has {found}"):
        processor(text=text)


def test_nothing_to_process(processor):
    with pytest.raises(ValueError, match="neither videos nor text"):
        processor()
