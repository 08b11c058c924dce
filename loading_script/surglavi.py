# SPDX-License-Identifier: Apache-2.0
"""`load_dataset("loading_script/surglavi.py", level, data_dir=DIR, trust_remote_code=True)` for datasets < 4.

The builder is that of surglavi_hf, so the rows are those of `load_dataset("surglavi", level)` in later versions of
datasets. Scripts are not pushed: from version 4 on, datasets refuses a repository that has one.
"""

import os

from datasets.data_files import DataFilesDict, DataFilesList

from surglavi_hf.data import builder
from surglavi_hf.data.database import database_state
from surglavi_hf.data.locate import default_database, find_database


class SurgLaVi(builder.SurgLaVi):
    """As `surglavi_hf.data.builder.SurgLaVi`, on the database that is named, or where none is, the Hub's."""

    def __init__(self, *args, data_dir=None, data_files=None, **kwargs):
        if data_files is not None and not isinstance(data_files, (str, os.PathLike)):
            raise ValueError(f"surglavi reads one database, found data_files={data_files!r}; name a single .db file")
        named = data_files if data_files is not None else data_dir
        database = (default_database(kwargs.get("token")) if named is None else find_database(named)).absolute()
        files = DataFilesList([str(database)], [database_state(database)])
        kwargs |= {"data_files": DataFilesDict({"train": files}), "hash": builder.code_hash()}
        super().__init__(*args, **kwargs)
