# SPDX-License-Identifier: Apache-2.0
"""The hook into datasets: makes `load_dataset("surglavi", …)` find our builder.

datasets has no plugin entry point and resolves the data_dir of a packaged module by listing every file below it. A
video library has thousands, so the one class that does this is replaced by a subclass that looks for the database.
"""

import glob
import hashlib
from pathlib import Path

import datasets.load
from datasets.data_files import DataFilesDict
from datasets.packaged_modules import _PACKAGED_DATASETS_MODULES

from .database import DATABASE_NAME, require_database

DATASET_NAME = "surglavi"
_MODULE = "surglavi_hf.data.builder"


class SurgLaViModuleFactory(datasets.load.PackagedDatasetModuleFactory):
    """Finds the database of `load_dataset("surglavi")`; leaves every other packaged module to datasets."""

    def get_module(self) -> datasets.load.DatasetModule:
        if self.name != DATASET_NAME:
            return super().get_module()
        if self.data_files is None:
            if self.data_dir is None:
                raise ValueError(
                    f"surglavi needs data_dir, the folder that holds {DATABASE_NAME} and videos/; for example "
                    f'load_dataset("surglavi", "phase", data_dir="DIR")'
                )
            path = Path(self.data_dir).expanduser().resolve() / DATABASE_NAME
            require_database(path)
            self.data_files = glob.escape(str(path))  # datasets takes it for a pattern
        data_files = DataFilesDict.from_patterns(
            datasets.load.sanitize_patterns(self.data_files), download_config=self.download_config
        )
        if list(data_files) != ["train"] or len(data_files["train"]) != 1:
            raise ValueError(
                f"surglavi reads one database, found data_files={self.data_files!r}; name a single .db file"
            )
        module_path, code_hash = _PACKAGED_DATASETS_MODULES[DATASET_NAME]
        return datasets.load.DatasetModule(
            module_path, code_hash, {"data_files": data_files, "dataset_name": DATASET_NAME}
        )


def register() -> None:
    """Makes datasets know "surglavi". Safe to call twice."""
    folder = Path(__file__).parent
    # The cache is keyed by the code that fills it.
    code = b"".join((folder / name).read_bytes() for name in ("builder.py", "clips.py", "database.py"))
    _PACKAGED_DATASETS_MODULES[DATASET_NAME] = (_MODULE, hashlib.sha256(code).hexdigest())
    datasets.load.PackagedDatasetModuleFactory = SurgLaViModuleFactory
