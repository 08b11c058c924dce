# SPDX-License-Identifier: Apache-2.0
"""pyproject.toml lists packages by name, since two of them lie at the top; none may be forgotten."""

from importlib.resources import files
from pathlib import Path

import pytest

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    tomllib = pytest.importorskip("tomli")

ROOT = Path(__file__).parents[1]


def test_every_package_is_installed():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    lying = {path.parent.relative_to(ROOT) for path in (ROOT / "surglavi_hf").rglob("__init__.py")}
    assert set(settings["packages"]) == {".".join(path.parts) for path in lying} | set(settings["package-dir"])
    assert settings["package-dir"] == {f"surglavi_hf.{name}": name for name in ("loading_script", "model_card")}


@pytest.mark.parametrize(
    ("package", "name"),
    [("loading_script", "README.md"), ("model_card", "trained.md"), ("model_card", "released.md")],
)
def test_templates_come_along(package, name):
    assert (files(f"surglavi_hf.{package}") / name).read_text(encoding="utf-8").startswith("---\n")
