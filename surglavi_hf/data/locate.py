# SPDX-License-Identifier: Apache-2.0
"""Where the database is: a folder, the environment, the Hub."""

import logging
import os
from pathlib import Path

from huggingface_hub import hf_hub_download
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

from .database import DATABASE_NAME

logger = logging.getLogger(__name__)

DATA_DIR_VARIABLE = "SURGLAVI_DATA_DIR"
HUB_DATASET = "aleperez24/SurgLaVi"


def find_database(data_dir: str | os.PathLike) -> Path:
    """
    Returns the database in a folder: `surglavi_beta.db`, or the only file that ends in `.db`. A file is taken as is.

    Raises:
        FileNotFoundError: there is none, or more than one.
    """
    folder = Path(os.path.expanduser(data_dir)).absolute()
    database = folder if folder.is_file() else folder / DATABASE_NAME
    if database.is_file():
        return database
    others = sorted(folder.glob("*.db")) if folder.is_dir() else []
    if len(others) == 1:
        return others[0]
    found = f"{len(others)} others: {', '.join(path.name for path in others[:3])}" if others else "no other .db file"
    raise FileNotFoundError(
        f"no database at {database} ({found}); get it with `hf download {HUB_DATASET} {DATABASE_NAME} --repo-type "
        f"dataset --local-dir {database.parent}`, make one of your own videos with `surglavi import`, or name another "
        "data_dir"
    )


def default_database(token: str | bool | None = None) -> Path:
    """
    Returns the database where none is named: that of the folder SURGLAVI_DATA_DIR, else that of the Hub dataset,
    downloaded or from the Hub's cache.

    Raises:
        FileNotFoundError: neither can be had; the message says what was tried.
    """
    data_dir = os.environ.get(DATA_DIR_VARIABLE)
    if data_dir:
        try:
            return find_database(data_dir)
        except FileNotFoundError as error:
            tried = f"{DATA_DIR_VARIABLE}={data_dir}: {error}"
    else:
        tried = f"{DATA_DIR_VARIABLE} is not set"
    try:
        if database := hub_database(HUB_DATASET, token=token):
            if data_dir:
                logger.warning("%s; using the Hub dataset %s", tried, HUB_DATASET)
            return database
        reason = f"it has no {DATABASE_NAME}"
    except OSError as error:  # as are huggingface_hub's errors
        reason = f"{type(error).__name__}: {(str(error).strip().splitlines() or ['no reason given'])[0]}"
    raise FileNotFoundError(
        f"no SurgLaVi database: {tried}; nor could it be had from the Hub dataset {HUB_DATASET} ({reason}). Pass "
        f"data_dir=DIR, the folder that holds {DATABASE_NAME}, or data_files=FILE, or set {DATA_DIR_VARIABLE}"
    )


def hub_database(
    repo_id: str,
    filename: str = DATABASE_NAME,
    folder: str | None = None,
    revision: str | None = None,
    token: str | bool | None = None,
    local_files_only: bool = False,
) -> Path | None:
    """
    Returns the database of a Hub dataset, downloaded once; `None` where the dataset has none.

    Raises:
        OSError: the Hub cannot be reached and the file is not in its cache, or the repository cannot be read.
    """
    try:
        path = hf_hub_download(
            repo_id,
            filename,
            subfolder=folder,
            repo_type="dataset",
            revision=revision,
            token=token,
            local_files_only=local_files_only,
        )
    except LocalEntryNotFoundError:  # not known: no network
        raise
    except EntryNotFoundError:
        return None
    return Path(path)
