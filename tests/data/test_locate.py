# SPDX-License-Identifier: Apache-2.0
import pytest

from surglavi_hf.data.locate import default_database, find_database


def test_the_published_name_comes_first(tmp_path):
    (tmp_path / "other.db").touch()
    assert find_database(tmp_path) == tmp_path / "other.db"
    (tmp_path / "surglavi_beta.db").touch()
    assert find_database(tmp_path) == tmp_path / "surglavi_beta.db"


def test_a_file_is_taken_as_it_is(tmp_path):
    (tmp_path / "x.db").touch()
    assert find_database(tmp_path / "x.db") == tmp_path / "x.db"


def test_none_or_several(tmp_path):
    with pytest.raises(FileNotFoundError, match=rf"no database at {tmp_path}/surglavi_beta\.db \(no other .*data_dir"):
        find_database(tmp_path)
    for name in ("a.db", "b.db"):
        (tmp_path / name).touch()
    with pytest.raises(FileNotFoundError, match=r"2 others: a\.db, b\.db"):
        find_database(tmp_path)


def test_the_environment_comes_before_the_hub(tmp_path, monkeypatch):
    (tmp_path / "surglavi_beta.db").touch()
    monkeypatch.setenv("SURGLAVI_DATA_DIR", str(tmp_path))
    assert default_database() == tmp_path / "surglavi_beta.db"


@pytest.mark.parametrize("variable", [None, "empty"])
def test_the_error_says_what_was_tried(tmp_path, monkeypatch, variable):
    monkeypatch.delenv("SURGLAVI_DATA_DIR", raising=False)
    tried = "SURGLAVI_DATA_DIR is not set"
    if variable:
        monkeypatch.setenv("SURGLAVI_DATA_DIR", str(tmp_path))
        tried = f"SURGLAVI_DATA_DIR={tmp_path}: no database at "
    with pytest.raises(FileNotFoundError) as raised:
        default_database()
    message = str(raised.value)
    assert message.startswith(f"no SurgLaVi database: {tried}") and "\n" not in message
    for part in ("aleperez24/SurgLaVi", "data_dir=DIR", "data_files=FILE", "set SURGLAVI_DATA_DIR"):
        assert part in message


def test_a_hub_dataset_without_a_database_is_no_error_and_no_network_is(hub):
    code = "from surglavi_hf.data.locate import hub_database; print(hub_database('user/another'))"
    run = hub.run(code)
    assert (run.returncode, run.stdout) == (0, "None\n"), run.stderr
    run = hub.run(code, HF_HUB_OFFLINE="1", HF_HOME=str(hub.home / "new"))
    assert run.returncode == 1 and "LocalEntryNotFoundError" in run.stderr
