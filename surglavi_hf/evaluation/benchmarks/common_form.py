# SPDX-License-Identifier: Apache-2.0
"""The common form of SurgLaVi's own evaluation: one JSON a split and a list of frames; GraSP ships the like.

`annotations/<file>.json` has `<key>_categories` ({id, name, description}), `images` ({id, file_name, video_name,
frame_num}) and `annotations` ({image_id, <key>}); `frame_lists/frames.csv` has, separated by spaces and without a
header, `video_name video_num frame_num relative_path` for every frame.
(https://github.com/aperezr20/SurgLaVi, src/evaluation/EVALUATION.md at dd9ca36)
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ...named_values import each_once
from ...options import option
from .label_reader import Label, LabelReader, Numbering, read_rows

TREE = "annotations/{file}, frame_lists/frames.csv and frames/<relative path of the list>"


@dataclass(frozen=True, kw_only=True)
class CommonFiles(LabelReader):
    """Files of the common form: every benchmark may have them beside its own, and some have no others."""

    tree = TREE.format(file="<split>.json")
    numbering = Numbering(complete=False)

    annotations: str = option("annotations/{split}.json", "The annotation of `{split}`, below the root.")
    label_key: str = option("phases", "Key of a label in an annotation.")
    classes_key: str = option("phases_categories", "Key of the classes.")

    def annotation_path(self, root: Path, split: str) -> Path | None:
        """Returns where the annotation of a split is, or None where there is no such file."""
        path = root / self.annotations.format(split=split)
        return path if path.is_file() else None

    def videos(self, root: Path) -> list[str]:
        raise self._not_there(root)

    def labels(self, root: Path, video: str, variant: str) -> Mapping[int, Label]:
        raise self._not_there(root)

    def split_videos(self, root: Path, split: str, variant: str, known: Sequence[str] | None) -> Sequence[str] | None:
        raise self._not_there(root)  # each split is a file

    def _not_there(self, root: Path) -> FileNotFoundError:
        return self.missing(self.annotations.format(split="<split>"), root)


@dataclass
class ListedVideo:
    """
    Args:
        files: Of every listed frame the path below the folder of frames, by frame number.
        labels: Of the labelled ones.
    """

    files: dict[int, str] = field(default_factory=dict)
    labels: dict[int, Label] = field(default_factory=dict)


@dataclass(frozen=True)
class CommonForm:
    """
    Args:
        path: Of the annotation.
        classes: Names, by class index.
        prompts: The `description` of each class; None where one has none.
        videos: By name, in the order of the frame list; those of the split.
        frame_list: What windows are made of, for a report.
    """

    path: Path
    classes: tuple[str, ...]
    prompts: tuple[str, ...] | None
    videos: Mapping[str, ListedVideo]
    frame_list: str


def read_common_form(path: Path, split: str, files: CommonFiles) -> CommonForm:
    """
    Returns classes, frames and labels.

    Args:
        path: Of the annotation.
        split: For the frame list `<split>.csv`, which is taken where there is no `frames.csv`. Without either, the
            frames are the images of the annotation.
        files: Of the benchmark.

    Raises:
        ValueError: the JSON is not of this form, a label is none of the classes, or an image is not in the frame list;
            the message names the file and the entry.
    """
    key, categories_key = files.label_key, files.classes_key
    try:
        content = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=each_once)
        categories = sorted(content[categories_key], key=lambda category: category["id"])
        index = {category["id"]: place for place, category in enumerate(categories)}
        classes = tuple(str(category["name"]) for category in categories)
        images = {image["id"]: _check_image(image) for image in content["images"]}
        annotations = content["annotations"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        found = f"no {error}" if isinstance(error, KeyError) else str(error)
        raise ValueError(f"{path}: {found}; expected JSON with {categories_key}, images and annotations") from error
    list_path = _frame_list_path(path.parents[1] / "frame_lists", split)
    list_name = list_path.name if list_path else f"images of {path.name}"
    videos = _read_frame_list(list_path) if list_path else {}
    if list_path is None:
        for image in sorted(images.values(), key=lambda image: (image["video_name"], image["frame_num"])):
            listed = videos.setdefault(str(image["video_name"]), ListedVideo())
            listed.files[int(image["frame_num"])] = _below(image["file_name"], path)
    places = {file: (listed, number) for listed in videos.values() for number, file in listed.files.items()}
    for image in images.values():
        if image["file_name"] not in places:
            raise ValueError(f"{path}: image {image['id']} ({image['file_name']!r}) is not in the list of frames")
    none = (0,) * len(classes)
    if files.kind != "single_label":
        for image in images.values():
            listed, number = places[image["file_name"]]
            listed.labels[number] = none
    for place, annotation in enumerate(annotations):
        where = f"{path}, annotations[{place}]"
        if annotation.get("image_id") not in images:
            raise ValueError(f"{where}: image_id {annotation.get('image_id')!r} is no image")
        listed, number = places[images[annotation["image_id"]]["file_name"]]
        if files.kind == "single_label":
            listed.labels[number] = _class_index(annotation.get(key), index, where, key)
        else:
            several = _several(annotation, key, index, where)
            listed.labels[number] = tuple(map(max, listed.labels[number], several))  # instances of one image
    descriptions = tuple(category.get("description") or "" for category in categories)
    # The list has every frame of the data set; the split is the videos of its images.
    seen = {id(places[image["file_name"]][0]) for image in images.values()}
    of_split = {name: listed for name, listed in videos.items() if id(listed) in seen}
    return CommonForm(path, classes, descriptions if all(descriptions) else None, of_split, list_name)


def _class_index(value: object, index: Mapping[int, int], where: str, key: str) -> int:
    if not isinstance(value, int) or value not in index:
        raise ValueError(f"{where}: {key} {value!r} is outside the classes, expected one of {sorted(index)}")
    return index[value]


def _several(annotation: Mapping, key: str, index: Mapping[int, int], where: str) -> tuple[int, ...]:
    """From a list of ids, from 0 and 1 for every class, or from the class of one instance."""
    value = annotation.get(key)
    if isinstance(value, dict):  # triplets have their components beside them
        value = value.get(key)
    if value is None:
        value = [annotation.get("category_id")]
    if not isinstance(value, list):
        raise ValueError(f"{where}: {key} {value!r}, expected a list of ids, or of 0 and 1 for every class")
    if len(value) == len(index) and all(item in (0, 1) for item in value):
        return tuple(int(item) for item in value)
    present = {_class_index(item, index, where, key) for item in value}
    return tuple(int(place in present) for place in range(len(index)))


def _check_image(image: dict) -> dict:
    kinds = {"file_name": str, "video_name": (str, int), "frame_num": int}
    for name, kind in kinds.items():
        if not isinstance(image.get(name), kind):
            raise ValueError(f"image {image['id']!r} has {name} {image.get(name)!r}")
    return image


def _frame_list_path(folder: Path, split: str) -> Path | None:
    return next((folder / name for name in ("frames.csv", f"{split}.csv") if (folder / name).is_file()), None)


def _read_frame_list(path: Path) -> dict[str, ListedVideo]:
    videos: dict[str, ListedVideo] = {}
    for row in read_rows(path, " ", 4):
        listed = videos.setdefault(row.cells[0], ListedVideo())
        number = row.integer(2, "frame number")
        if number in listed.files:
            raise row.error(f"frame {number} of {row.cells[0]} again, expected each once")
        listed.files[number] = _below(row.cells[3], path)
    return videos


def _below(name: str, path: Path) -> str:
    """A path of a file that cannot lead out of the folder of frames."""
    if (
        not isinstance(name, str)
        or Path(name).is_absolute()
        or ".." in Path(name).parts
        or "\\" in name
        or not name.isprintable()
    ):
        raise ValueError(f"{path}: frame path {name!r}, expected one below the folder of frames")
    return name
