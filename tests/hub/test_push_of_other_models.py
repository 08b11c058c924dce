# SPDX-License-Identifier: Apache-2.0
"""Pushed models that SurgCLIP is compared with: what their authors let be given on, and nothing else."""

import json
import shutil

import pytest
import torch
from huggingface_hub import ModelCard

from surglavi_hf.cli import main
from surglavi_hf.hub import push_model
from surglavi_hf.models import convert_checkpoint

from ..models.conftest import surgvlp_folder, surgvlp_state  # noqa: F401  fixtures
from ..models.released import RELEASED

LOAD = """
import torch
from transformers import AutoModel, AutoProcessor
model = AutoModel.from_pretrained("me/other", trust_remote_code=True).eval()
processor = AutoProcessor.from_pretrained("me/other", trust_remote_code=True)
frame = torch.arange(90 * 120 * 3).remainder(251).to(torch.uint8).reshape(90, 120, 3).numpy()
pixel_values = processor(images=[frame], return_tensors="pt")["pixel_values"]
with torch.no_grad():
    print(FEATURES[0].tolist())
"""


@pytest.fixture(scope="module")
def convert(tmp_path_factory):
    def convert(name: str):
        path = tmp_path_factory.mktemp(name)
        torch.save(RELEASED[name].wrap(RELEASED[name].state()), path / "x.pth")
        return convert_checkpoint(path / "x.pth", path / name)

    return convert


def features(folder, how: str) -> list:
    names: dict = {}
    script = LOAD.replace('"me/other", trust_remote_code=True', repr(str(folder))).replace("FEATURES", how)
    exec(script.replace("print(", "found = ("), names)
    return names["found"]


def pushed(hub_server) -> dict[str, bytes]:
    return hub_server.repositories["me/other"]["commits"][-1]["files"]


@pytest.mark.parametrize("name", ["plstitch", "surgenet_caformer", "surgenet_convnextv2", "surgenet_pvtv2", "endofm"])
def test_a_model_without_texts(convert, name, hub_server, stranger):
    folder = convert(name)
    push_model(folder, "me/other")
    files = set(pushed(hub_server)) - {".gitattributes"}
    assert files == {path.name for path in folder.iterdir()}
    assert {"preprocessor_config.json", "conversion.json"} <= files
    if name in ("plstitch", "surgenet_caformer"):
        how = "model(pixel_values).pooler_output"
        assert stranger(LOAD.replace("FEATURES", how), "surglavi_hf").strip() == str(features(folder, how))
    assert push_model(folder, "me/other").changed == ()


def test_a_model_with_texts_and_code(surgvlp_folder, hub_server, stranger):  # noqa: F811
    push_model(surgvlp_folder, "me/other")
    how = "model.get_image_features(pixel_values).pooler_output"
    assert stranger(LOAD.replace("FEATURES", how), "surglavi_hf").strip() == str(features(surgvlp_folder, how))
    assert hub_server.repositories["me/other"]["commits"][-1]["message"] == "Push SurgVLP, HecVL or PeskaVLP"
    assert "modeling_surgvlp.py" in pushed(hub_server) and not hub_server.errors


def test_the_card(convert, hub_server):
    folder = convert("plstitch")
    push_model(folder, "me/other")
    card = ModelCard.load("me/other")
    origin = json.loads((folder / "conversion.json").read_text())
    assert card.validate() is None and card.data.license == "mit" and "arxiv:2511.17805" in card.data.tags
    assert 'AutoModel.from_pretrained("me/other")' in card.text and "$" not in card.content
    for name in ("family", "repository", "sha256", "parameters", "licence_words", "input", "output"):
        assert origin[name] in card.text


def test_what_may_not_be_given_on(convert, hub_server, capsys):
    folder = convert("lemonfm")
    message = (
        "lemonfm is not pushed, LemonFM may not be given on: The authors have published no licence of the weights"
    )
    with pytest.raises(ValueError, match=message) as caught:
        push_model(folder, "me/other")
    assert "\n" not in str(caught.value)
    capsys.readouterr()
    assert main(["push-model", str(folder), "--repo-id", "me/other"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "no licence of the weights" in error and "Traceback" not in error
    assert not hub_server.repositories


@pytest.fixture
def plstitch(convert, tmp_path):
    return shutil.copytree(convert("plstitch"), tmp_path / "plstitch")


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"sharing": "no"}, "PL-Stitch may not be given on: The authors' repository has a LICENSE"),
        ({"sharing": None}, "PL-Stitch may not be given on"),
        ({"licence_words": ""}, None),
        ({"licence_words": None}, r"conversion\.json has no licence_words in one line"),
        ({"licence": "mit\nbase_model: x"}, r"conversion\.json has no licence in one line"),
        ({"licence": "MIT licence"}, "has 'MIT licence' as licence, expected a licence as the Hub has it"),
        ({"repository": "x"}, "has 'x' as repository, expected NAME/REPOSITORY"),
        ({"paper": "x y"}, "has 'x y' as paper, expected an arXiv number"),
    ],
)
def test_what_conversion_says(plstitch, hub_server, changed, message):
    path = plstitch / "conversion.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))
    if message is None:
        push_model(plstitch, "me/other")
        return
    with pytest.raises(ValueError, match=message):
        push_model(plstitch, "me/other")
    assert not hub_server.repositories


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json", "image_processing_pillow.py"])
def test_a_part_that_is_missing(plstitch, hub_server, name):
    (plstitch / name).unlink()
    with pytest.raises(FileNotFoundError, match=name.replace("preprocessor", "processor").replace(".", r"\.")):
        push_model(plstitch, "me/other")
    assert not hub_server.repositories


def test_code_that_it_does_not_need(plstitch, hub_server):
    (plstitch / "modeling_surgvlp.py").write_text("x = 1\n")
    with pytest.raises(ValueError, match=r"modeling_surgvlp\.py is no code that the model needs"):
        push_model(plstitch, "me/other")
    (plstitch / "modeling_surgvlp.py").unlink()
    with (plstitch / "image_processing_pillow.py").open("a") as file:
        file.write("NOTE = 'hf_" + "aB3" * 12 + "'\n")
    with pytest.raises(ValueError, match=r"image_processing_pillow\.py is not pushed: .* a token"):
        push_model(plstitch, "me/other")
    assert not hub_server.repositories
