# SPDX-License-Identifier: Apache-2.0
import pytest

from surglavi_hf.evaluation import load_benchmark

from ..native_files import VIDEOS, classes_of, copy_video, definition_of, some_labels, write_common, write_native

FORMS = {name: f"expected {definition_of(name).reader.tree.split()[0].rstrip(',')}" for name in VIDEOS}


@pytest.mark.parametrize("name", VIDEOS)
def test_a_wrong_directory_shows_the_expected_tree(name, tmp_path):
    _, split = VIDEOS[name]
    with pytest.raises(FileNotFoundError) as caught:
        load_benchmark(name, tmp_path, **split)
    assert str(tmp_path) in str(caught.value) and FORMS[name] in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            {"name": "cholec81"},
            "benchmark 'cholec81', expected a YAML file such as mine.yaml, or one of autolap",
        ),
        ({"source": "frame"}, "source='frame', expected 'auto'"),
        ({"videos": "15"}, "videos='15', expected a list of names"),
        ({"variant": "mine"}, "variant='mine', expected one of owners"),
        ({"split": "tset"}, "split='tset', expected one of train, val, test, all"),
        ({"videos": ["01"]}, "video '01' is not in split 'test' of 'owners', expected some of 15, 16"),
        ({"prompts": {"Washing": "x"}}, "class 'Preparation' has None, expected a text"),
        ({"prompts": {"Wash": "x"}}, "'Wash' is no class"),
        ({"prompts": {"Washing": []}}, "class 'Preparation' has None"),
    ],
)
def test_wrong_arguments(arguments, message, tmp_path):
    write_native("autolaparo", tmp_path, "15", some_labels("autolaparo"))
    given = {"name": "autolaparo", "root": tmp_path, "videos": ["15"], "source": "labels", **arguments}
    with pytest.raises(ValueError, match=message):
        load_benchmark(**given)


def test_prompts(tmp_path):
    write_native("autolaparo", tmp_path, "15", some_labels("autolaparo"))

    def load(prompts):
        return load_benchmark("autolaparo", tmp_path, videos=["15"], source="labels", prompts=prompts)

    assert load(None).prompts[6][0].startswith("The surgical field is flushed")
    assert "unverified" in load(None).protocol["prompts"]
    assert load("names").prompts[1] == ("dividing ligament and peritoneum",)
    file = tmp_path / "prompts.yaml"
    file.write_text("\n".join(f"{name}: [a view of {name}, {name}]" for name in classes_of("autolaparo")))
    assert load(file).prompts[6] == ("a view of Washing", "Washing") and load(file).protocol["prompts_per_class"] == 2
    assert load(file).protocol["prompts"] == "file prompts.yaml", "no path of this machine"
    with pytest.raises(FileNotFoundError, match=r"'gone\.yaml' is neither a file nor one of surgclip, names"):
        load("gone.yaml")
    file.write_text("{")
    with pytest.raises(ValueError, match=r"prompts\.yaml cannot be read"):
        load(file)


def test_rows_and_protocol(tmp_path, drawn):
    labels = some_labels("autolaparo")
    write_native("autolaparo", tmp_path, "15", labels)
    copy_video("autolaparo", tmp_path, "15", drawn["autolaparo"])
    benchmark = load_benchmark("autolaparo", tmp_path, videos=["15"])
    rows = benchmark.rows
    assert rows.features["label"].names == classes_of("autolaparo")
    assert rows[2] == {"video": "15", "time": 2.0, "frame": 3, "position": 2, "label": labels[2]}
    protocol = benchmark.protocol
    assert protocol["split_variant"] == "owners" and protocol["num_labelled_frames"] == len(labels)
    assert protocol["videos"] == "15" and protocol["frame_times"] == "frame n is at (n - 1) × 1 s"
    assert str(tmp_path) not in str(dict(protocol))


def test_unknown_splits_say_so(tmp_path):
    write_native("cholec80_phases", tmp_path, "video49", some_labels("cholec80_phases"))
    for variant, expected in ((None, "41-80"), ("49-55", "49-55")):
        benchmark = load_benchmark("cholec80_phases", tmp_path, videos=["video49"], variant=variant, source="labels")
        assert benchmark.protocol["split_variant"] == expected and "UNKNOWN" in benchmark.protocol["split_note"]


def test_common_form_has_its_own_classes_and_prompts(tmp_path):
    write_common("autolaparo", tmp_path, {"15": some_labels("autolaparo")})
    benchmark = load_benchmark("autolaparo", tmp_path, source="labels")
    assert benchmark.prompts[6] == ("a view of Washing",)
    assert benchmark.protocol["prompts"] == "descriptions in test.json"
    assert benchmark.protocol["annotation"] == "common form"
    named = load_benchmark("autolaparo", tmp_path, source="labels", prompts="surgclip")
    assert named.prompts[6][0].startswith("The surgical field")
