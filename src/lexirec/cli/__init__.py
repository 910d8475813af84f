"""The command line: the verbs of the library; results to stdout, progress and logs to stderr.

Heavy libraries are imported inside the commands, so that `lexirec --help` answers at once. A user's mistake is one line
on stderr and exit status 1.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from lexirec.cli import data, inspect, recommend, run
from lexirec.cli.options import app
from lexirec.core.errors import LexirecError

__all__ = ["app", "data", "inspect", "main", "recommend", "run"]

_PLACES = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG)
"""Errors of the places that users name."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit; `arguments` are those of the process by default."""
    try:
        app(args=arguments)
    except LexirecError as error:
        _fail(str(error))
    except OSError as error:
        if error.errno not in _PLACES:
            raise
        _fail(f"{error.filename or 'the disk'}: {error.strerror}; free space or choose another place")
    except MemoryError:
        _fail("not enough memory; try smaller batches or a machine with more (lexirec doctor shows what there is)")


def _fail(message: str) -> None:
    typer.echo(f"lexirec: {' '.join(message.split())}", err=True)
    raise SystemExit(1)


def _tell_version(wanted: bool) -> None:
    if wanted:
        from lexirec.core.environment import versions

        typer.echo(f"lexirec {versions().get('lexirec', '(not installed)')}")
        raise typer.Exit


@app.callback()
def _prepare(
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Neither progress nor logs, only warnings.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_tell_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    _log_to_stderr(logging.WARNING if quiet else logging.INFO)
    _share_the_cores()


def _share_the_cores() -> None:
    """Let threads that wait for each other sleep soon: where other programs run, spinning slowed training severalfold.

    Read by OpenMP when torch is loaded, which happens inside the commands; what the user has set stays.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def _log_to_stderr(level: int) -> None:
    from lexirec.core import progress

    console = progress.console()
    handler: logging.Handler
    if console.is_terminal:
        from rich.logging import RichHandler

        handler = RichHandler(console=console, show_path=False, show_level=False, log_time_format="%H:%M:%S")
    else:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", datefmt="%H:%M:%S"))
    logger = logging.getLogger("lexirec")
    logger.handlers[:] = [handler]
    logger.setLevel(level)
    logger.propagate = False
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # forks after use would otherwise warn
