"""By which id a tracker knows a run: it goes with the folder, not with a copy of it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from gantrain.loggers.remembered import file_of, remember, remembered


def test_an_id_holds_in_its_folder_and_after_a_move_but_not_in_a_copy(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    assert remembered(run, "wandb") is None
    remember(run, "wandb", "abc")
    assert remembered(run, "wandb") == "abc" and remembered(run, "mlflow") is None
    shutil.copytree(run, tmp_path / "copy")
    assert remembered(tmp_path / "copy", "wandb") is None
    run.rename(tmp_path / "moved")
    assert remembered(tmp_path / "moved", "wandb") == "abc"
    remember(tmp_path / "copy", "wandb", "other")
    assert (remembered(tmp_path / "copy", "wandb"), remembered(tmp_path / "moved", "wandb")) == ("other", "abc")


def test_a_backup_that_is_put_back_has_its_id_again(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    remember(run, "wandb", "abc")
    shutil.copytree(run, tmp_path / "backup")
    shutil.rmtree(run)
    (tmp_path / "backup").rename(run)
    assert remembered(run, "wandb") == "abc"


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"id": 3}', '{"id": "abc"}', "x" * 2**17])
def test_a_damaged_file_is_no_id(tmp_path: Path, content: str) -> None:
    (tmp_path / "loggers").mkdir()
    file_of(tmp_path, "wandb").write_text(content)
    assert remembered(tmp_path, "wandb") is None


def test_a_link_is_no_id_and_is_not_written_through(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "loggers").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="is a link"):
        remember(tmp_path / "run", "wandb", "abc")
    assert not list((tmp_path / "elsewhere").iterdir())


def test_a_strange_name_stays_in_the_folder(tmp_path: Path) -> None:
    assert file_of(tmp_path, "../../x y").parent == tmp_path / "loggers"
