# SPDX-License-Identifier: Apache-2.0
"""The hook into datasets: makes `load_dataset` find our builder.

datasets has no plugin entry point. It resolves a name or a folder by a class for each kind, which lists every file and
goes by the most frequent suffix: in a video library that is thousands of videos. Each class is replaced by a subclass
that looks for the database and leaves everything else to datasets.
"""

import logging
import os
import sys
from contextlib import suppress
from pathlib import Path

import datasets
import datasets.load
from datasets.data_files import DataFilesDict, DataFilesList, sanitize_patterns
from datasets.packaged_modules import _PACKAGED_DATASETS_MODULES

from .builder import code_hash
from .database import DATABASE_NAME, database_state, open_database
from .locate import DATA_DIR_VARIABLE, default_database, find_database, hub_database

DATASET_NAME = "surglavi"
_MODULE = "surglavi_hf.data.builder"

logger = logging.getLogger(__name__)


class PackagedModuleFactory(datasets.load.PackagedDatasetModuleFactory):
    """`load_dataset("surglavi")`."""

    def get_module(self) -> datasets.load.DatasetModule:
        if self.name != DATASET_NAME:
            return super().get_module()
        if self.data_files is not None:
            return _module(_named_database(self.data_files, self.data_dir, self.download_config))
        if self.data_dir is not None:
            return _module(find_database(self.data_dir))
        return _module_of_hub(default_database(self.download_config.token))


class LocalModuleFactory(datasets.load.LocalDatasetModuleFactory):
    """`load_dataset(FOLDER)`."""

    def get_module(self) -> datasets.load.DatasetModule:
        folder = Path(self.path, self.data_dir or "")
        if _names_database(self.data_files):
            return _module(_named_database(self.data_files, str(folder), None))
        database = _database_in(folder) if self.data_files is None else None
        return _module(database) if database else super().get_module()


class HubModuleFactory(datasets.load.HubDatasetModuleFactory):
    """`load_dataset("user/repository")`."""

    def get_module(self) -> datasets.load.DatasetModule:
        if self.data_files is None or _names_database(self.data_files):
            filename, token = self.data_files or DATABASE_NAME, self.download_config.token
            if database := hub_database(self.name, filename, self.data_dir, self.commit_hash, token):
                return _module_of_hub(database)
        return super().get_module()


class CachedModuleFactory(datasets.load.CachedDatasetModuleFactory):
    """`load_dataset("user/repository")` without network. datasets comes here after any failure, too."""

    def get_module(self) -> datasets.load.DatasetModule:
        if isinstance(sys.exc_info()[1], ConnectionError):
            with suppress(OSError):
                database = hub_database(self.name, local_files_only=True)
                logger.warning("the Hub cannot be reached, using %s of an earlier download", database)
                return _module_of_hub(database)
        return super().get_module()


def _names_database(data_files) -> bool:
    return isinstance(data_files, str) and data_files.endswith(".db")


def _database_in(folder: Path) -> Path | None:
    """Returns the database of a folder that may be anything else; one of another name must have our tables."""
    try:
        database = find_database(folder)
        if database.name != DATABASE_NAME:
            with open_database(database):
                pass
    except (OSError, ValueError):
        return None
    return database


def _named_database(data_files, data_dir: str | None, download_config) -> Path:
    """Returns the file that `data_files` names, downloaded where it is elsewhere."""
    patterns = sanitize_patterns(os.fspath(data_files) if isinstance(data_files, os.PathLike) else data_files)
    if list(patterns) == ["train"] and len(patterns["train"]) == 1:
        named = patterns["train"][0]
        path = Path(data_dir or "", named).expanduser().absolute()
        if path.is_file():
            return path
        if "://" in named:
            return Path(datasets.DownloadManager(download_config=download_config).download(named))
        patterns = DataFilesDict.from_patterns(patterns, base_path=str(Path(data_dir or "").expanduser().absolute()))
        if len(patterns["train"]) == 1:
            return Path(patterns["train"][0])
    raise ValueError(f"surglavi reads one database, found data_files={data_files!r}; name a single .db file")


def _module(database: Path) -> datasets.load.DatasetModule:
    """Returns what datasets loads: our builder on one database. However it was named, the rows have one cache."""
    database = Path(os.path.abspath(database))
    data_files = DataFilesDict({"train": DataFilesList([str(database)], [database_state(database)])})
    module_path, code_hash = _PACKAGED_DATASETS_MODULES[DATASET_NAME]
    builder_kwargs = {"data_files": data_files, "dataset_name": DATASET_NAME, "data_dir": None}
    return datasets.load.DatasetModule(module_path, code_hash, builder_kwargs)


def _module_of_hub(database: Path) -> datasets.load.DatasetModule:
    """As `_module`, with the videos where SURGLAVI_DATA_DIR says: there are none in the Hub's cache."""
    module, data_dir = _module(database), os.environ.get(DATA_DIR_VARIABLE)
    if data_dir and Path(data_dir).expanduser().absolute() != database.parent:
        module.builder_kwargs["video_dir"] = data_dir
    return module


def register() -> None:
    """Makes datasets know "surglavi". Safe to call twice."""
    _PACKAGED_DATASETS_MODULES[DATASET_NAME] = (_MODULE, code_hash())
    datasets.load.PackagedDatasetModuleFactory = PackagedModuleFactory
    datasets.load.LocalDatasetModuleFactory = LocalModuleFactory
    datasets.load.HubDatasetModuleFactory = HubModuleFactory
    datasets.load.CachedDatasetModuleFactory = CachedModuleFactory
