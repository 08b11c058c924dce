# SPDX-License-Identifier: Apache-2.0
"""What `--model` names: a folder, a Hub id, a function of the user's, or an encoder that a package registers."""

import os
import re
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from .encoders import encoder_of
from .launched import Processes
from .video_encoder import VideoEncoder
from .vision_encoders import IMAGE_TYPES, VIDEO_TYPES

_LIBRARIES = ("open_clip", "sentence_transformers")
GROUP = "surglavi_hf.encoders"  # of entry points: functions without arguments that return a VideoEncoder


def load_encoder(model: str | os.PathLike, revision: str | None = None) -> VideoEncoder:
    """
    Returns a model as a [`VideoEncoder`], in evaluation mode. No code comes from folders or the Hub: what is imported
    is a module that `model` names, or a package that is installed and registers that name.

    Args:
        model: A folder or Hub id of SurgCLIP, CLIP, SigLIP or the like, of X-CLIP, VideoPrism or PE-Video, or of a
            model without texts, such as DINOv2; `open_clip:NAME` or `sentence_transformers:NAME`, of these libraries;
            `package.module:function`, whose function takes no arguments and returns a VideoEncoder; or the name of an
            entry point of group `surglavi_hf.encoders`, whose value is such a function.
        revision: Of a Hub repository; by default its newest.

    Raises:
        OSError: there is no such folder or Hub repository.
        ImportError: the library is not installed.
        ValueError: the model is damaged or embeds neither clips nor images, the function is not there, fails, or
            returns something else, or a name is taken twice.
    """
    name = os.fspath(model)
    library, _, rest = name.partition(":")
    if library in _LIBRARIES and rest:
        return _load_of_library(library, rest, revision)
    registered = [point for point in entry_points(group=GROUP) if point.name == name]
    if len(registered) > 1 or (registered and Path(name).exists()):
        owners = sorted(map(_package, registered)) + [f"the folder ./{name}"] * Path(name).exists()
        raise ValueError(
            f"{name} is what {' and '.join(owners)} call a model; write package.module:function, or ./{name}"
        )
    written = re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*", name)
    if not registered and (not written or Path(name).exists()):
        return _load_saved(name, revision)
    if revision is not None:
        raise ValueError(f"{name} is no Hub repository; leave revision={revision!r} (--revision) out")
    Processes()  # chooses this process's device
    return _call(*_registered(registered[0])) if registered else _call(name, lambda: _imported(name))


def licence_of(model: str | os.PathLike) -> str | None:
    """
    Returns the licence that the card of a folder or Hub repository states, such as "cc-by-nc-sa-4.0"; None where there
    is no card, or it states none.
    """
    from huggingface_hub import ModelCard
    from transformers.utils.hub import cached_file

    name = os.fspath(model)
    try:
        path = Path(name) / "README.md" if Path(name).is_dir() else cached_file(name, "README.md")
        data = ModelCard.load(path).data
    except Exception:  # of many kinds: no card, no network, a function of the user's
        return None
    licence = getattr(data, "license_name", None) if data.license == "other" else data.license
    return licence if isinstance(licence, str) and licence.strip() else None


def _load_of_library(library: str, name: str, revision: str | None) -> VideoEncoder:
    try:
        adapter = import_module(f".{library}_encoder", __package__)
    except ImportError as error:
        raise ImportError(
            f"{library}:{name} needs what is not installed ({error}); pip install 'surglavi-hf[{library}]'"
        ) from error
    return adapter.load(name, revision, Processes().device)


def _load_saved(name: str, revision: str | None) -> VideoEncoder:
    from transformers.utils.hub import resolve_revision

    from ..surgclip import load_config, load_processor, load_whole  # takes seconds, which `--help` should not wait for

    try:
        revision = resolve_revision(name, revision)  # of both
        kind = load_config(name, revision).model_type
        without = {"add_pooling_layer": False} if kind == "vit" else {}  # of which it has none that is trained
        model = load_whole(name, heads=kind in {**IMAGE_TYPES, **VIDEO_TYPES}, revision=revision, **without)
        model.config._commit_hash = getattr(revision, "resolved", None)  # which reports name
        processor = load_processor(name, revision)
    except OSError as error:  # whose message may leave out which model
        names = sorted({point.name for point in entry_points(group=GROUP)})
        known = f", or one of the installed encoders ({', '.join(names)})" if names else ""
        raise OSError(
            f"--model {name}, expected a folder or Hub id, package.module:function{known}: {error}"
        ) from error
    try:
        return encoder_of(model.to(Processes().device).eval(), processor)
    except TypeError as error:
        raise ValueError(f"{name}: {error}") from error


def _registered(point: EntryPoint) -> tuple[str, Callable[[], Any]]:
    return f"{point.name} ({point.value} of the package {_package(point)})", point.load


def _package(point: EntryPoint) -> str:
    return f"{point.dist.name} {point.dist.version}" if point.dist else point.value


def _imported(name: str) -> Any:
    module, _, path = name.partition(":")
    found = import_module(module)
    for part in path.split("."):
        found = getattr(found, part)
    return found


def _call(what: str, load: Callable[[], Any]) -> VideoEncoder:
    """Whatever code of others raises is one line that says whose it is."""
    try:
        encoder = load()()
    except Exception as error:
        said = " ".join(str(error).split())
        raise ValueError(f"the encoder {what} failed: {type(error).__name__}: {said}") from error
    if not isinstance(encoder, VideoEncoder):
        raise ValueError(
            f"the encoder {what} is a {type(encoder).__name__}; expected a surglavi_hf.evaluation.VideoEncoder"
        )
    return encoder
