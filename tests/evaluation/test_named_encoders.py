# SPDX-License-Identifier: Apache-2.0
import sys
from importlib.util import find_spec

import pytest
from transformers import BertConfig, BertModel

from surglavi_hf.cli import main
from surglavi_hf.evaluation import VideoEncoder, load_encoder
from surglavi_hf.evaluation.encoders import ClipEncoder

from ..surgclip.conftest import make_tokenizer

# A package of somebody else, with an encoder of 15 lines.
CODE = """
import hashlib
import torch
from surglavi_hf.evaluation import VideoEncoder

class Colours(VideoEncoder):
    num_frames = 4

    def preprocess(self, frames):
        return frames.float().mean(dim=(2, 3)) / 255

    def embed_windows(self, frames, windows):
        embeds = torch.nn.functional.normalize(frames[windows].mean(dim=1) - 0.4, dim=1)
        return {"projected": embeds, "raw": embeds}

    def embed_texts(self, texts):
        seeds = [int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) for text in texts]
        embeds = [torch.randn(3, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
        return torch.nn.functional.normalize(torch.stack(embeds), dim=1)

def broken():
    raise RuntimeError("no such\\nweights")

def nothing():
    return 7
"""


def install(folder, package="colours_encoder", names=("colours",), function="Colours"):
    """Lays a package there as pip would."""
    (folder / f"{package}.py").write_text(CODE)
    about = folder / f"{package}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    points = "".join(f"{name} = {package}:{function}\n" for name in names)
    (about / "entry_points.txt").write_text(f"[surglavi_hf.encoders]\n{points}")


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A folder that packages are imported from, forgotten afterwards."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    before = set(sys.modules)
    yield folder
    for name in set(sys.modules) - before:
        if str(folder) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def test_an_encoder_that_a_package_registers(site):
    install(site)
    encoder = load_encoder("colours")
    assert isinstance(encoder, VideoEncoder) and encoder.num_frames == 4
    assert type(load_encoder("colours_encoder:Colours")) is type(encoder)
    about = encoder.describe()
    assert about["name"] == "Colours" and about["encoder_sha256"] and about["revision"] is None


def test_other_code_is_another_description(site):
    install(site)
    first = load_encoder("colours").describe()
    del sys.modules["colours_encoder"]
    (site / "colours_encoder.py").write_text(CODE.replace("0.4", "0.5000"))
    second = load_encoder("colours").describe()
    assert {name for name in first if first[name] != second[name]} == {"encoder_sha256"}


@pytest.mark.parametrize(
    "name, message",
    [
        (
            "broken",
            r"^the encoder broken \(\w+:broken of the package colours_encoder 1\.0\) failed: .*no such weights$",
        ),
        ("colours_encoder:nothing", r"^the encoder colours_encoder:nothing is a int; expected .*VideoEncoder$"),
        ("colours_encoder:missing", r"^the encoder colours_encoder:missing failed: AttributeError"),
        ("not_there.at_all:f", r"^the encoder not_there\.at_all:f failed: ModuleNotFoundError"),
    ],
)
def test_what_others_get_wrong_names_them(site, name, message):
    install(site, names=["broken"], function="broken")
    with pytest.raises(ValueError, match=message):
        load_encoder(name)


def test_two_packages_of_one_name(site, monkeypatch, tmp_path):
    install(site)
    install(site, "another")
    with pytest.raises(ValueError, match=r"^colours is what another 1\.0 and colours_encoder 1\.0 call a model"):
        load_encoder("colours")


def test_a_folder_of_the_same_name(site, monkeypatch, tmp_path, tiny_model):
    install(site)
    for part in tiny_model:
        part.save_pretrained(tmp_path / "colours")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"what colours_encoder 1\.0 and the folder \./colours call a model"):
        load_encoder("colours")
    assert isinstance(load_encoder("./colours"), ClipEncoder)


def test_a_revision_is_of_the_hub(site):
    install(site)
    with pytest.raises(ValueError, match=r"^colours is no Hub repository; leave .*--revision.* out$"):
        load_encoder("colours", "main")


def test_any_model_of_the_hub_knows_its_commit(tmp_path, hub_server, tiny_model):
    """Reports name it; transformers itself forgets it."""
    for part in tiny_model:
        part.save_pretrained(tmp_path)
    repository = hub_server.add("me/any-model", {path.name: path.read_bytes() for path in tmp_path.iterdir()})
    repository.commit("Say more", {"README.md": b"more"})
    for revision, commit in ((None, repository.commits[1]), (repository.commits[0]["id"], repository.commits[0])):
        encoder = load_encoder("me/any-model", revision)
        assert encoder.describe()["revision"] == commit["id"] and not encoder.model.training


def test_what_is_no_encoder(tmp_path, site):
    install(site)
    BertModel(BertConfig(hidden_size=12, num_hidden_layers=1, vocab_size=120)).save_pretrained(tmp_path / "bert")
    make_tokenizer().save_pretrained(tmp_path / "bert")
    with pytest.raises(ValueError, match=r"bert: BertModel is no SurgCLIP and has no get_image_features"):
        load_encoder(tmp_path / "bert")
    with pytest.raises(OSError, match=r"^--model .*nothing, expected a folder .* encoders \(colours\): "):
        load_encoder(str(tmp_path / "nothing"))


@pytest.mark.parametrize("library", ["open_clip", "sentence_transformers"])
def test_a_library_that_is_not_installed(library, tmp_path, monkeypatch, capsys):
    """Whose name is no module of the user's, even where such a one lies beside them."""
    if find_spec(library):
        pytest.skip(f"{library} is installed")
    (tmp_path / f"{library}_encoder.py").write_text("raise SystemExit('imported')")
    monkeypatch.chdir(tmp_path)
    command = ["search", "x", "--index", str(tmp_path / "none"), "--model", f"{library}:some/model"]
    assert main(command) == 1
    said = capsys.readouterr().err
    assert f"{library}:some/model needs what is not installed" in said and f"'surglavi-hf[{library}]'" in said


def test_no_video_processor(tmp_path, tiny_model):
    model, processor = tiny_model
    model.save_pretrained(tmp_path)
    processor.tokenizer.save_pretrained(tmp_path)
    with pytest.raises(OSError, match=r"^--model .*: Can't load video processor"):
        load_encoder(tmp_path)


def test_a_module_beside_the_user(tmp_path, monkeypatch, capsys):
    """Commands find it, as Python would; a module that is not named is not imported."""
    (tmp_path / "mine_alone.py").write_text(CODE)
    (tmp_path / "decord.py").write_text("raise SystemExit('imported')")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [part for part in sys.path if part not in ("", str(tmp_path))])
    command = ["search", "x", "--index", str(tmp_path / "none"), "--model", "mine_alone:Colours"]
    assert main(command) == 1
    assert "give --data-dir to build it" in capsys.readouterr().err
    del sys.modules["mine_alone"]
