"""The commit of a folder: what git says of it, without a program of the repository's being run."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from gantrain.run import git

WHO = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main")


def told(folder: Path, *arguments: str) -> str:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    done = subprocess.run(
        ["git", *WHO, *arguments], cwd=folder, env=environment, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "code"
    folder.mkdir()
    told(folder, "init", "-q")
    (folder / "a.py").write_text("one\n")
    told(folder, "add", ".")
    told(folder, "commit", "-qm", "first")
    return folder


def test_the_commit_is_what_git_says_on_a_branch_on_none_packed_and_in_a_worktree(repository: Path) -> None:
    inside = repository / "deep" / "er"
    inside.mkdir(parents=True)
    head = told(repository, "rev-parse", "HEAD")
    assert git.commit(inside) == git.commit(repository) == head
    told(repository, "pack-refs", "--all")
    assert not (repository / ".git" / "refs" / "heads" / "main").exists() and git.commit(inside) == head
    told(repository, "worktree", "add", "-q", "../other")
    (repository / "a.py").write_text("two\n")
    told(repository, "commit", "-qam", "second")
    assert git.commit(repository) == told(repository, "rev-parse", "HEAD") != head
    assert git.state(repository.parent / "other") == (head, False)
    told(repository, "checkout", "-q", "--detach", head)
    assert git.commit(repository) == head


def test_files_that_git_tracks_make_it_differ_and_others_do_not(repository: Path) -> None:
    head = told(repository, "rev-parse", "HEAD")
    (repository / "outputs.txt").write_text("new")
    assert git.state(repository) == (head, False)
    (repository / "a.py").write_text("two\n")
    assert git.state(repository) == (head, True)
    told(repository, "add", "a.py")
    assert git.state(repository) == (head, True)


def test_no_program_that_the_repository_names_is_run(repository: Path, tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\ncat\n")
    program.chmod(0o755)
    (repository / ".git" / "hooks").mkdir(exist_ok=True)
    (repository / ".git" / "hooks" / "post-index-change").symlink_to(program)
    (repository / ".gitattributes").write_text("*.py filter=own.one\n")
    for key in ("core.fsmonitor", "filter.own.one.clean", "filter.own.one.process"):
        told(repository, "config", key, str(program))
    told(repository, "config", "filter.own.one.required", "true")
    (repository / "a.py").write_text("two\n")
    assert git.state(repository)[1] is True
    assert not (tmp_path / "ran").exists()


def test_where_it_cannot_be_told_it_is_not_known(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert git.state(tmp_path) == (None, None)
    head = told(repository, "rev-parse", "HEAD")
    monkeypatch.setenv("GIT_DIR", "/nowhere")  # as in a hook of another repository
    assert git.state(repository) == (head, False)
    with monkeypatch.context() as patched:
        patched.setenv("PATH", str(tmp_path))
        assert git.state(repository) == (head, None)
    slow = tmp_path / "git"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    with monkeypatch.context() as patched:
        patched.setattr(git, "PATIENCE", 0.05)
        patched.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        assert git.state(repository) == (head, None)


def test_a_repository_of_another_user_is_not_opened_by_git(repository: Path, tmp_path: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root can give files to another user")
    head = told(repository, "rev-parse", "HEAD")
    for path in (repository, *repository.rglob("*")):
        os.chown(path, 12345, 12345)
    assert git.state(repository) == (head, None)


@pytest.mark.parametrize("head", ["", "ref: refs/heads/gone", "ref: ../../secret", "ref: ref: x", "0123", "\0\xff"])
def test_a_damaged_repository_has_no_commit(repository: Path, head: str) -> None:
    (repository / ".git" / "HEAD").write_text(head)
    assert git.state(repository) == (None, None)


def test_branches_that_name_each_other_and_a_lost_worktree_have_no_commit(repository: Path, tmp_path: Path) -> None:
    (repository / ".git" / "refs" / "heads" / "main").write_text("ref: refs/heads/main")
    assert git.commit(repository) is None
    (tmp_path / "lost").mkdir()
    (tmp_path / "lost" / ".git").write_text("gitdir: ../gone")
    assert git.state(tmp_path / "lost") == (None, None)


def test_an_entry_in_words() -> None:
    entry = {"step": 0, "commit": "0123456789abcdef" * 2, "dirty": True}
    assert git.described(entry) == "commit 0123456789 with changes"
    assert git.described(entry | {"dirty": None}) == "commit 0123456789"
    assert git.described(entry | {"commit": None}) == "no commit"
