"""A PostgreSQL server on loopback, in a folder of its own, that asks for a password."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.conftest import GUARD, until
from tests.launchers.slurm import free_port

PROGRAMS = ("initdb", "postgres", "pg_isready")
USER = "searcher"
SETTINGS = ("listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", "log_connections=on")


def program(name: str) -> str | None:
    """Where Debian keeps a program of the newest version, which is not in PATH, or where PATH has it."""
    versions = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[4]))
    return str(versions[-1]) if versions else shutil.which(name)


def missing() -> str:
    """Say what a server here would need, "" if it can be had."""
    absent = [name for name in PROGRAMS if program(name) is None]
    return f"apt-get install postgresql ({', '.join(absent)} not found)" if absent else ""


def owner() -> str | None:
    """The user who runs the server, which refuses to be run by root; None for whoever runs the tests."""
    if os.geteuid() != 0:
        return None
    return "postgres" if any(user.pw_name == "postgres" for user in pwd.getpwall()) else "nobody"


class Server:
    """Begins with ``start``; ``url`` has the password, ``address`` is the URL without it."""

    def __init__(self, password: str) -> None:
        self.password, self.port = password, free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="gantrain-postgres-"))  # a folder that its owner can enter
        secret = self.folder / "password"
        secret.write_text(password)
        if (user := owner()) is not None:
            for path in (self.folder, secret):
                shutil.chown(path, user)
        begin = [str(program("initdb")), "-D", str(self.folder / "data"), "-U", USER, f"--pwfile={secret}"]
        begin += ["--auth=scram-sha-256", "--no-sync", "--encoding=UTF8", "--locale=C"]
        subprocess.run(begin, user=user, cwd=self.folder, check=True, capture_output=True, timeout=GUARD)
        self.start()

    @property
    def address(self) -> str:
        return f"postgresql://{USER}@127.0.0.1:{self.port}/postgres"

    @property
    def url(self) -> str:
        return self.address.replace("@", f":{self.password}@")

    def start(self) -> None:
        command = [str(program("postgres")), "-D", str(self.folder / "data"), "-p", str(self.port)]
        command += [part for setting in SETTINGS for part in ("-c", setting)]
        with (self.folder / "log").open("a") as log:
            self.process = subprocess.Popen(command, user=owner(), cwd=self.folder, stdout=log, stderr=log)
        ready = [str(program("pg_isready")), "-q", "-h", "127.0.0.1", "-p", str(self.port)]
        until(lambda: subprocess.run(ready, check=False).returncode == 0 or self.process.poll() is not None)
        assert self.process.poll() is None, (self.folder / "log").read_text()[-3000:]

    def stop(self) -> None:
        """End it with all its connections, at once."""
        self.process.send_signal(3)  # SIGQUIT
        self.process.wait(GUARD)

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
