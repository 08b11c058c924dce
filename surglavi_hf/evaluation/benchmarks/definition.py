# SPDX-License-Identifier: Apache-2.0
"""What the file of a benchmark says: classes, prompts, splits, where videos lie, and how labels are read."""

import dataclasses
import difflib
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from string import Formatter
from typing import Any, get_args

from ...named_values import read_named_values
from ...options import value_of
from .common_form import CommonFiles
from .label_reader import Kind, LabelReader
from .published_figures import Published, PublishedSource, measures_of, of_linear_probe, of_zero_shot

_MOST_VIDEOS = 100_000  # of a split
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_KEYS = (
    *("name", "title", "description", "license", "kind", "classes", "classes_source", "prompts", "labels", "videos"),
    *("frames", "fps", "common_form", "splits", "published"),
)
_TEST_ON_ALL = "all"


@dataclass(frozen=True)
class Splits:
    """
    Args:
        default: The variant taken where none is named.
        note: What is known of the one behind the published tables.
        variants: For each variant the video names of each split; None stands for all that have labels.
    """

    default: str
    note: str
    variants: Mapping[str, Mapping[str, tuple[str, ...] | None]]


@dataclass(frozen=True)
class Definition:
    """
    Args:
        name: Of the benchmark, and of folders of its results.
        title: What reports are headed with.
        description: What it is, and the paper.
        kind: "single_label": one class a frame; "multi_label": any number; "triplet": any number of action triplets.
        classes: Names, by class index.
        classes_source: Where names and order come from.
        prompts: For each prompt set the texts of each class, by class index.
        prompt_sources: Where each prompt set comes from.
        reader: Reads its labels.
        common: Its files of the common form, where it may have some.
        splits: Which videos are tested on.
        published: What is published on it.
    """

    name: str
    title: str
    description: str
    kind: Kind
    classes: tuple[str, ...]
    classes_source: str
    prompts: Mapping[str, tuple[tuple[str, ...], ...]]
    prompt_sources: Mapping[str, str]
    reader: LabelReader
    common: CommonFiles | None
    splits: Splits
    published: Published


def read_definition(path: str | os.PathLike, find_reader: Callable[[str], type[LabelReader]]) -> Definition:
    """
    Returns what the file of a benchmark says.

    Args:
        path: The YAML file.
        find_reader: Returns the reader of a name.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no YAML, or a key is missing, unknown or of a wrong value; the message names both.
    """
    path = Path(path)
    content = _Content(path, _read_yaml(path))
    content.check_keys(_KEYS)
    name = content.text("name", path.stem)
    if not _NAME.fullmatch(name):
        raise content.error("name", f"{name!r}, expected letters, digits, '-', '_' and '.', as in my_benchmark")
    kind = content.choice("kind", get_args(Kind))
    classes = _classes(content)
    prompts, prompt_sources = _prompts(content, classes)
    places = {"video_files": content.patterns("videos"), "frame_folders": content.patterns("frames")}
    common_reader = {"classes": classes, "kind": kind, **{key: value for key, value in places.items() if value}}
    reader = _reader(content, common_reader, find_reader)
    common = reader if isinstance(reader, CommonFiles) else None
    if content.values.get("common_form") is not None:
        common = CommonFiles(**common_reader, **content.options("common_form", CommonFiles))
    title = content.text("title", name)
    return Definition(
        name=name,
        title=title,
        description=content.text("description", title),
        kind=kind,
        classes=classes,
        classes_source=content.text("classes_source", f"in {path.name}"),
        prompts=prompts,
        prompt_sources=prompt_sources,
        reader=reader,
        common=common,
        splits=_splits(content),
        published=_published(content),
    )


class _Content:
    """The values of a file, checked as they are taken."""

    def __init__(self, path: Path, values: Mapping[str, Any]):
        self.path, self.values = path, values

    def error(self, key: str, message: str) -> ValueError:
        return ValueError(f"{self.path}, {key}: {message}")

    def check_keys(self, known: tuple[str, ...], values: Mapping | None = None, inside: str = "") -> None:
        for key in self.values if values is None else values:
            if key not in known:
                near = difflib.get_close_matches(str(key), known, 1)
                hint = f"is it {near[0]}?" if near else f"expected some of {', '.join(known)}"
                raise ValueError(f"{self.path}: unknown key {inside}{key!r}; {hint}")

    def text(self, key: str, default: str | None = None) -> str:
        value = self.values.get(key)
        if value is None and default is not None:
            return default
        if not isinstance(value, str) or not value.strip() or "\n" in value.strip():
            raise self.error(key, f"{value!r}, expected a line of text")
        return value.strip()

    def choice(self, key: str, choices: tuple[str, ...]) -> Any:
        value = self.values.get(key)
        if value not in choices:
            raise self.error(key, f"{value!r}, expected one of {', '.join(choices)}")
        return value

    def mapping(self, key: str) -> Mapping[str, Any]:
        value = self.values.get(key)
        if not isinstance(value, Mapping):
            raise self.error(key, f"{value!r}, expected names with values")
        return value

    def patterns(self, key: str) -> tuple[str, ...]:
        """Paths below the root with `{video}`."""
        value = self.values.get(key)
        patterns = [value] if isinstance(value, str) else [] if value is None else value
        if not isinstance(patterns, list):
            raise self.error(key, f"{value!r}, expected a path such as videos/{{video}}.mp4, or a list of them")
        for pattern in patterns:
            self.check_pattern(key, pattern, "video")
            if "{video}" not in pattern:
                raise self.error(key, f"{pattern!r} has no {{video}}, which stands for a video's name")
        return tuple(patterns)

    def check_pattern(self, key: str, pattern: Any, field: str) -> None:
        try:
            fields = {name for _, name, _, _ in Formatter().parse(pattern) if name is not None}
        except (TypeError, ValueError):
            fields = {"?"}
        if not isinstance(pattern, str) or not pattern.strip() or fields - {field}:
            raise self.error(key, f"{pattern!r}, expected a path, with {{{field}}} as its only braces")
        if Path(pattern).is_absolute() or ".." in Path(pattern).parts or "\\" in pattern or not pattern.isprintable():
            raise self.error(key, f"{pattern!r}, expected a path below the root, with / between folders")

    def options(self, key: str, kind: type[LabelReader], leave_out: tuple[str, ...] = ()) -> dict[str, Any]:
        """What a reader is told."""
        given = {name: value for name, value in self.mapping(key).items() if name not in leave_out}
        known = tuple(item.name for item in dataclasses.fields(kind) if "flag" in item.metadata)
        self.check_keys((*known, *leave_out), given, f"{key}.")
        try:
            values = {name: value_of(kind, name, value) for name, value in given.items()}
        except ValueError as error:
            raise ValueError(f"{self.path}, {key}.{error}") from error
        for name in ("annotations", "files"):
            if name in values:
                self.check_pattern(f"{key}.{name}", values[name], "split" if name == "annotations" else "video")
        return values


def _read_yaml(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        raise FileNotFoundError(f"no benchmark at {path}; surglavi benchmark init FOLDER writes a first one")
    content = read_named_values(path, "YAML")
    if not isinstance(content, Mapping):
        raise ValueError(f"{path} holds no benchmark, expected kind, classes and labels; see surglavi benchmark init")
    return content


def _classes(content: _Content) -> tuple[str, ...]:
    classes = content.values.get("classes")
    if not isinstance(classes, list) or len(classes) < 2:
        raise content.error("classes", f"{classes!r}, expected a list of at least two names")
    for place, name in enumerate(classes):
        if not isinstance(name, str):  # YAML takes no, off and 3 for what they are in other places
            raise content.error("classes", f"number {place + 1} is {name!r}, expected text; put it in quotes")
        if not name.strip() or name != name.strip() or "\n" in name:
            raise content.error("classes", f"number {place + 1} is {name!r}, expected a line without blanks around it")
    folded = [name.casefold() for name in classes]
    if twice := [name for name in classes if folded.count(name.casefold()) > 1]:
        raise content.error("classes", f"{twice[0]!r} is there twice, expected each once")
    return tuple(classes)


def _prompts(
    content: _Content, classes: tuple[str, ...]
) -> tuple[dict[str, tuple[tuple[str, ...], ...]], dict[str, str]]:
    """Either texts by class, or several sets of them with their sources."""
    if content.values.get("prompts") is None:
        return {}, {}
    given = content.mapping("prompts")
    if not all(isinstance(value, Mapping) and "texts" in value for value in given.values()):
        texts = check_prompts(classes, given, f"{content.path}, prompts")
        return {content.path.stem: texts}, {content.path.stem: f"in {content.path.name}"}
    prompts, sources = {}, {}
    for name, value in given.items():
        where = f"{content.path}, prompts.{name}"
        texts = value["texts"]
        if isinstance(texts, list):
            if len(texts) != len(classes):
                raise ValueError(f"{where}: {len(texts)} texts, expected one for each of the {len(classes)} classes")
            texts = dict(zip(classes, texts, strict=True))
        prompts[str(name)] = check_prompts(classes, texts, where)
        sources[str(name)] = str(value.get("source") or f"in {content.path.name}")
    return prompts, sources


def _reader(
    content: _Content, arguments: Mapping[str, Any], find_reader: Callable[[str], type[LabelReader]]
) -> LabelReader:
    name = content.mapping("labels").get("reader")
    if not isinstance(name, str):
        raise content.error("labels.reader", f"{name!r}, expected the name of a reader, such as segments")
    try:
        kind = find_reader(name)
    except ValueError as error:
        raise content.error("labels.reader", str(error)) from error
    options = content.options("labels", kind, ("reader",))
    if content.values.get("fps") is not None:
        if "fps" not in {item.name for item in dataclasses.fields(kind)}:
            raise content.error("fps", f"the reader {name} knows its own rate; leave fps out")
        try:
            options["fps"] = value_of(kind, "fps", content.values["fps"])
        except ValueError as error:
            raise ValueError(f"{content.path}, {error}") from error
    try:
        return kind(**arguments, **options)
    except ValueError as error:
        raise content.error("labels", str(error)) from error


def _splits(content: _Content) -> Splits:
    """Several variants of splits, or one, or none: then all videos are tested on."""
    if content.values.get("splits") is None:
        return Splits(_TEST_ON_ALL, "all videos that have labels", {_TEST_ON_ALL: {"test": None}})
    given = content.mapping("splits")
    if "variants" not in given:
        return Splits("own", f"as {content.path.name} has them", {"own": _split(content, "splits", given)})
    content.check_keys(("default", "note", "variants"), given, "splits.")
    if not isinstance(given["variants"], Mapping):
        raise content.error("splits.variants", f"{given['variants']!r}, expected names with splits")
    variants = {
        str(name): _split(content, f"splits.variants.{name}", named) for name, named in given["variants"].items()
    }
    default = given.get("default")
    if default not in variants:
        raise content.error("splits.default", f"{default!r}, expected one of {', '.join(variants)}")
    return Splits(default, str(given.get("note") or f"as {content.path.name} has them"), variants)


def _split(content: _Content, key: str, named: Any) -> dict[str, tuple[str, ...] | None]:
    if not isinstance(named, Mapping):
        raise content.error(key, f"{named!r}, expected splits such as test: [video1, video2]")
    splits: dict[str, tuple[str, ...] | None] = {}
    for split, names in named.items():
        if names == "all":
            splits[str(split)] = None
            continue
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            wrong = next(name for name in names if not isinstance(name, str)) if isinstance(names, list) else names
            raise content.error(f"{key}.{split}", f"{wrong!r}, expected a list of video names in quotes, or all")
        splits[str(split)] = tuple(_expand(content, f"{key}.{split}", names))
    every = [name for names in splits.values() for name in names or ()]
    own = key == "splits" or not {"fold1", "fold2"} & set(splits)  # halves of another split
    if own and (twice := [name for name in every if every.count(name) > 1]):
        raise content.error(key, f"video {twice[0]!r} is in two splits, or twice in one; expected each once")
    return splits


def _published(content: _Content) -> Published:
    """Of a file of one's own; those of the benchmarks here lie together."""
    if content.values.get("published") is None:
        return Published()
    given = content.mapping("published")
    content.check_keys(("zero_shot", "linear_probe", "note"), given, "published.")
    source = PublishedSource(paper=str(given.get("note") or f"as {content.path.name} has them"))
    try:
        measures = measures_of(content.values["kind"])
        return Published(
            of_zero_shot(source, measures, given.get("zero_shot", {})),
            of_linear_probe(source, given.get("linear_probe", {})),
        )
    except (AttributeError, TypeError, ValueError) as error:
        raise content.error(
            "published", f"{error}; expected zero_shot: {{system: [accuracy, macro F1]}} or [mean average precision]"
        ) from error


def choose_prompts(
    definition: Definition, prompts: str | os.PathLike | Mapping[str, str | list[str]] | None
) -> tuple[tuple[tuple[str, ...], ...], str]:
    """
    Returns for each class its prompts, and a line that says where they come from.

    Args:
        definition: Whose classes.
        prompts: Name of a prompt set, "names" (the class names as words), a YAML or JSON file of class names with a
            text or a list of texts each, or a mapping of that form; None takes the first prompt set, or the names.

    Raises:
        FileNotFoundError: it names neither a prompt set nor a file.
        ValueError: a class has no prompt, or a prompt no class.
    """
    if prompts is None:
        prompts = next(iter(definition.prompts), "names")
    if prompts == "names":
        return tuple((readable(name),) for name in definition.classes), "names: the class names as words"
    if isinstance(prompts, str) and prompts in definition.prompts:
        return definition.prompts[prompts], f"{prompts}: {definition.prompt_sources[prompts]}"
    if not isinstance(prompts, Mapping):
        path = Path(prompts)
        if not path.is_file():
            known = ", ".join([*definition.prompts, "names"])
            raise FileNotFoundError(f"prompts={str(prompts)!r} is neither a file nor one of {known}")
        return check_prompts(definition.classes, read_named_values(path), str(path)), f"file {path.name}"
    return check_prompts(definition.classes, prompts, "prompts"), "given by the caller"


def readable(name: str) -> str:
    """
    Returns a class name as words: `s12_omental_lifting` as "omental lifting", `CalotTriangleDissection` as
    "calot triangle dissection", `grasper,dissect,cystic_plate` as "grasper dissect cystic plate".
    """
    words = re.sub(r"^s\d+_", "", name)
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", words)
    return " ".join(re.split(r"[\s_,]+", words)).lower()


def check_prompts(classes: tuple[str, ...], given: object, where: str) -> tuple[tuple[str, ...], ...]:
    """
    Returns the texts of each class.

    Args:
        classes: Their names.
        given: A text or a list of texts for each.
        where: What errors call it.

    Raises:
        ValueError: a class has no prompt, or a prompt no class.
    """
    if not isinstance(given, Mapping):
        raise ValueError(f"{where}: found a {type(given).__name__}, expected class names with a text or texts each")
    if unknown := [name for name in given if name not in classes]:
        raise ValueError(f"{where}: {unknown[0]!r} is no class, expected {', '.join(classes)}")
    texts = []
    for name in classes:
        value = given.get(name)
        value = [value] if isinstance(value, str) else value
        if not isinstance(value, (list, tuple)) or not value or not all(isinstance(t, str) and t for t in value):
            raise ValueError(f"{where}: class {name!r} has {given.get(name)!r}, expected a text or a list of texts")
        texts.append(tuple(value))
    return tuple(texts)


def _expand(content: _Content, key: str, names: list[str]) -> list[str]:
    """`video{01..03}` stands for video01, video02, video03."""
    expanded = []
    for name in names:
        if match := re.fullmatch(r"(.*)\{(\d{1,9})\.\.(\d{1,9})\}", name):
            width, numbers = len(match[2]), range(int(match[2]), int(match[3]) + 1)
            if not 0 < len(numbers) <= _MOST_VIDEOS:
                raise content.error(key, f"{name!r}, expected 1 to {_MOST_VIDEOS:,} names")
            expanded += [f"{match[1]}{number:0{width}d}" for number in numbers]
        else:
            expanded.append(name)
    return expanded
