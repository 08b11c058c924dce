# SPDX-License-Identifier: Apache-2.0
import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoModel, AutoProcessor, pipeline

from surglavi_hf.surgclip import ZeroShotVideoClassificationPipeline

TASK = "zero-shot-video-classification"
LABELS = ["the cystic duct", "clips", "aid"]


def clip(seed: int, num_frames: int = 9) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (num_frames, 3, 40, 50), dtype=torch.uint8, generator=generator)


@pytest.fixture
def classifier(released_folder):
    return pipeline(TASK, model=str(released_folder))


def test_scores_are_the_softmax_of_the_logits(classifier, released_folder):
    assert type(classifier) is ZeroShotVideoClassificationPipeline
    result = classifier(clip(0), candidate_labels=LABELS)
    inputs = AutoProcessor.from_pretrained(released_folder)(videos=clip(0), text=LABELS)
    with torch.no_grad():
        expected = AutoModel.from_pretrained(released_folder)(**inputs).logits_per_video[0].softmax(dim=-1)
    assert [each["score"] for each in result] == sorted((each["score"] for each in result), reverse=True)
    assert {each["label"]: pytest.approx(each["score"], abs=1e-5) for each in result} == dict(
        zip(LABELS, expected.tolist(), strict=True)
    )


def same(one: list[dict], two: list[dict]) -> bool:
    return one == [{"score": pytest.approx(each["score"], abs=1e-5), "label": each["label"]} for each in two]


def test_text_is_embedded_once_for_all_clips(classifier, monkeypatch):
    calls = []
    embed = classifier.model.get_text_features
    monkeypatch.setattr(
        classifier.model,
        "get_text_features",
        lambda **inputs: calls.append(len(inputs["input_ids"])) or embed(**inputs),
    )
    clips = [clip(seed, num_frames=4 + seed) for seed in range(5)]
    results = classifier(clips, LABELS)
    assert calls == [3] and len(results) == 5
    assert all(same(each, classifier(clips[index], LABELS)) for index, each in enumerate(results))
    assert all(map(same, results, classifier(clips, LABELS, batch_size=2)))
    assert all(map(same, results, classifier((each for each in clips), LABELS)))


def test_labels_given_once(released_folder):
    classifier = pipeline(TASK, model=str(released_folder), candidate_labels=LABELS)
    assert same(classifier(clip(0)), pipeline(TASK, model=str(released_folder))(clip(0), LABELS))


def test_one_clip_in_many_forms_is_one_clip(classifier):
    video, expected = clip(1), classifier(clip(1), LABELS)
    images = [Image.fromarray(frame.permute(1, 2, 0).numpy()) for frame in video]
    assert same(classifier(images, LABELS), expected) and same(classifier(video.numpy(), LABELS), expected)
    assert [len(each) for each in (classifier([images], LABELS), classifier(video[None], LABELS))] == [1, 1]


def test_paths(classifier, tmp_path, write_video):
    path = write_video(tmp_path / "video.mp4", [index / 10 for index in range(8)])
    frames = [np.full((64, 64, 3), 8 * index, dtype=np.uint8) for index in range(8)]
    expected = classifier(np.stack(frames), LABELS)
    found = classifier(str(path), LABELS)
    assert [each["label"] for each in found] == [each["label"] for each in expected]
    assert all(one["score"] == pytest.approx(two["score"], abs=0.02) for one, two in zip(found, expected, strict=True))
    assert len(classifier([str(path), path], LABELS)) == 2 and same(classifier(path, LABELS), found)
    with pytest.raises(FileNotFoundError, match=r"no video at .*gone\.mp4"):
        classifier(tmp_path / "gone.mp4", LABELS)


def test_template(classifier):
    found = classifier(clip(0), ["cystic", "{}"], hypothesis_template="the {} duct")
    assert {each["label"] for each in found} == {"cystic", "{}"}
    scores = {each["label"]: each["score"] for each in classifier(clip(0), ["the cystic duct", "the {} duct"])}
    assert found[0]["score"] == pytest.approx(max(scores.values()), abs=1e-5)


def test_template_and_labels_need_not_come_together(released_folder, classifier):
    expected, template = classifier(clip(0), ["the cystic duct", "the aid duct"]), "the {} duct"
    labels = ["cystic", "aid"]
    for given, called in (
        ({"hypothesis_template": template}, {"candidate_labels": labels}),
        ({"candidate_labels": labels}, {"hypothesis_template": template}),
        ({"candidate_labels": labels, "hypothesis_template": template}, {}),
        ({"candidate_labels": ["other"], "hypothesis_template": template}, {"candidate_labels": labels}),
    ):
        found = pipeline(TASK, model=str(released_folder), **given)(clip(0), **called)
        assert [each["score"] for each in found] == [pytest.approx(each["score"], abs=1e-5) for each in expected]
    with pytest.raises(ValueError, match=r"has no \{\}"):
        pipeline(TASK, model=str(released_folder), hypothesis_template="duct")


def test_saved_and_made_again(released_folder, tmp_path):
    classifier = pipeline(TASK, model=str(released_folder))
    classifier.processor.text_preprocess = False
    expected = classifier(clip(0), ["The surgeon clips", "Aid"])
    classifier.save_pretrained(tmp_path)
    again = pipeline(TASK, model=str(tmp_path))
    assert again.processor.text_preprocess is False and same(again(clip(0), ["The surgeon clips", "Aid"]), expected)


def test_half_precision(released_folder, classifier):
    expected = {each["label"]: each["score"] for each in classifier(clip(0), LABELS)}
    half = pipeline(TASK, model=str(released_folder), dtype=torch.bfloat16)([clip(0), clip(1)], LABELS, batch_size=2)
    later = pipeline(TASK, model=str(released_folder), candidate_labels=LABELS)
    later.model.to(torch.bfloat16)
    for result in (half[0], later(clip(0))):
        assert {each["label"]: each["score"] for each in result} == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize(
    "kwargs, error, message",
    [
        ({}, ValueError, "candidate_labels is missing"),
        ({"candidate_labels": []}, ValueError, r"candidate_labels=\[\], expected a list of labels"),
        ({"candidate_labels": ["a", 3]}, ValueError, "expected a list of labels"),
        ({"candidate_labels": ["a"], "hypothesis_template": "video"}, ValueError, r"'video' has no \{\}"),
        ({"candidate_labels": ["a"], "top": 1}, TypeError, "unexpected argument 'top'"),
    ],
)
def test_wrong_arguments(classifier, kwargs, error, message):
    with pytest.raises(error, match=message):
        classifier(clip(0), **kwargs)
