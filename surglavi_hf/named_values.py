# SPDX-License-Identifier: Apache-2.0
"""Names and values as people write them, in YAML or JSON: each name once, where the libraries take the last of two."""

import json
from pathlib import Path
from typing import Any

import yaml

from .text_tables import read_text


def read_named_values(path: Path, expected: str = "YAML or JSON") -> Any:
    """
    Returns what a file of YAML holds, or of JSON where its name ends so.

    Args:
        path: The file.
        expected: What errors say that it should be.

    Raises:
        FileNotFoundError: it is not there.
        ValueError: it cannot be read, has a name twice, or an alias, a few of which stand for billions of values.
    """
    text = read_text(path)
    try:
        if path.suffix == ".json":
            return json.loads(text, object_pairs_hook=each_once)
        loader = _Plain(text)
        loader.name = path.name  # which errors say beside line and column
        return loader.get_single_data()
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise ValueError(f"{path} cannot be read ({' '.join(str(error).split())}); expected {expected}") from error


def each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """As `object_pairs_hook` of json. Raises ValueError: a name is there twice."""
    values: dict[str, Any] = {}
    for name, value in pairs:
        if name in values:
            raise ValueError(f"{name!r} is there twice")
        values[name] = value
    return values


class _Plain(yaml.SafeLoader):
    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.composer.ComposerError(None, None, "an alias (*), which is not read; write it out", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"{key.value!r} is there twice", key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep)
