"""An export from the Hugging Face hub, which a server here stands in for, and through torch.hub."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import torch

import gantrain
from gantrain.errors import ConfigError
from tests.conftest import REPOSITORY

hub = pytest.importorskip("huggingface_hub")
COMMIT = "a" * 40


class Hub(BaseHTTPRequestHandler):
    """Answers as the hub does for the one repository somebody/digits."""

    files: dict[str, bytes]
    asked: list[str]

    def do_HEAD(self) -> None:
        self.answer(with_body=False)

    def do_GET(self) -> None:
        self.answer(with_body=True)

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""

    def answer(self, with_body: bool) -> None:
        path = self.path.partition("?")[0]
        self.asked.append(path)
        name = path.rpartition("/")[2]
        content: bytes | None = None
        if path.startswith("/api/models/somebody/digits/tree/"):
            listed = [{"type": "file", "path": n, "size": len(c), "oid": digest(c)} for n, c in self.files.items()]
            content = json.dumps(listed).encode()
        elif path.startswith("/api/models/somebody/digits"):
            siblings = [{"rfilename": name} for name in self.files]
            content = json.dumps({"id": "somebody/digits", "sha": COMMIT, "siblings": siblings}).encode()
        elif path.startswith("/somebody/digits/resolve/"):
            content = self.files.get(name)
        self.send_response(404 if content is None else 200)
        content = content or b""
        headers = {"Content-Length": str(len(content)), "ETag": f'"{digest(content)}"', "X-Repo-Commit": COMMIT}
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()
        if with_body:
            self.wfile.write(content)


def digest(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from gantrain.export import described, write
    from gantrain.trained import Trained

    folder = tmp_path_factory.mktemp("hub")
    short = ("evaluation=none", "batch_size=8", "samples.every=0", "architecture.generator.width=4")
    run = gantrain.train(*short, data="digits", total_steps=1, run={"dir": folder / "run"})
    trained = Trained.open(run.path)
    (folder / "export").mkdir()
    config = {"architecture": trained.settings["architecture"]["generator"], **described(trained)}
    write(folder / "export", trained.weights("ema"), "ema", config)
    return folder / "export"


@pytest.fixture
def served(exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    files = {path.name: path.read_bytes() for path in exported.iterdir()} | {"danger.py": b"raise SystemExit"}
    handler = type("Served", (Hub,), {"files": files, "asked": []})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    fetch, address = hub.snapshot_download, f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(
        hub, "snapshot_download", lambda *a, **k: fetch(*a, **k, endpoint=address, cache_dir=tmp_path / "cache")
    )
    yield handler
    server.shutdown()
    server.server_close()


def test_a_repository_of_the_hub_is_loaded_and_only_what_is_read_is_fetched(
    served: type[Hub], exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = gantrain.load("somebody/digits")
    assert torch.equal(found.sample(3), gantrain.load(exported).sample(3))
    assert not any("danger" in path for path in served.asked)
    with pytest.raises(ConfigError, match=r"somebody/other is no folder here, and cannot be fetched .*404"):
        gantrain.load("somebody/other")


def test_a_folder_of_that_name_comes_first(served: type[Hub], exported: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(exported.parent.parent)
    assert gantrain.load(f"{exported.parent.name}/export").sample(1).shape == (1, 1, 8, 8) and not served.asked


def test_without_the_extra_it_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(ConfigError, match=r"pip install 'gantrain\[hub\]'"):
        gantrain.load("somebody/digits")


def test_torch_hub_has_an_entry(exported: Path) -> None:
    found = torch.hub.load(str(REPOSITORY), "generator", source="local", folder=exported)
    assert found.sample(2).shape == (2, 1, 8, 8)
