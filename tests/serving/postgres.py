"""A PostgreSQL server of the tests' own, from the system's binaries, in a temporary folder and on a unix socket."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg
import pytest


class PostgresServer:
    """A server that listens on a unix socket alone; it may be stopped and started again.

    It does not flush the disk unless it is `durable`: what outlives a killed client needs no flush.
    """

    def __init__(self, programs: Path, *, durable: bool = False) -> None:
        self.programs = programs
        self.durable = durable
        self.folder = Path(tempfile.mkdtemp(prefix="lexirec-pg-"))
        self._databases = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._as_user: dict[str, str | int] = {}
        if os.geteuid() == 0:  # PostgreSQL refuses to run as root
            names = {entry.pw_name for entry in pwd.getpwall()}
            owner = pwd.getpwnam("postgres" if "postgres" in names else "nobody")
            os.chown(self.folder, owner.pw_uid, owner.pw_gid)
            self._as_user = {"user": owner.pw_uid, "group": owner.pw_gid}
        options = ["-U", "lexirec", "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C.UTF-8"]
        self._run("initdb", "-D", str(self.folder / "data"), *options)
        self.start()

    def start(self) -> None:
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.folder),
            "fsync": "on" if self.durable else "off",
            "full_page_writes": "on" if self.durable else "off",
            "shared_buffers": "32MB",
        }
        flags = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        command = [str(self.programs / "postgres"), "-D", str(self.folder / "data"), *flags]
        log = (self.folder / "log").open("ab")
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder)}
        self._process = subprocess.Popen(
            command, stdout=log, stderr=log, cwd=self.folder, env=environment, **self._as_user
        )
        for _ in range(200):
            try:
                self._connect("postgres").close()
            except psycopg.OperationalError:
                time.sleep(0.05)
            else:
                return
        raise RuntimeError(f"PostgreSQL did not start:\n{(self.folder / 'log').read_text()[-2000:]}")

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """SIGINT ends all connections and stops; SIGQUIT is a crash."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(30)
            self._process = None

    def new_database(self) -> str:
        """Create an empty database and return its URL."""
        self._databases += 1
        name = f"test_{self._databases}"
        with self._connect("postgres") as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return f"postgresql+psycopg://lexirec@/{name}?host={self.folder}"

    def close(self) -> None:
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _connect(self, database: str) -> psycopg.Connection:
        return psycopg.connect(host=str(self.folder), user="lexirec", dbname=database, autocommit=True)

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self.programs / program), *arguments],
            capture_output=True,
            text=True,
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "HOME": str(self.folder)},
            **self._as_user,
        )
        assert done.returncode == 0, done.stderr


def find_programs() -> Path | None:
    """Return the folder of the newest server's programs that the system has."""
    folders = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/postgres")]
    folders += [Path(found).parent for found in [shutil.which("postgres")] if found]
    return max(folders, key=lambda folder: folder.parent.name.isdigit() and int(folder.parent.name), default=None)


def start_server() -> PostgresServer:
    """Start a server; skips the test where the system has none, unless LEXIREC_REQUIRE_SERVERS=1."""
    programs = find_programs()
    if programs is None:
        reason = "PostgreSQL's server is not installed (/usr/lib/postgresql/*/bin; Debian's package postgresql)"
        if os.environ.get("LEXIREC_REQUIRE_SERVERS") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    return PostgresServer(programs)
