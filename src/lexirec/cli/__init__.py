"""The command line `lexirec`: results on stdout, progress and logs on stderr.

Heavy libraries are imported inside the commands, so that `lexirec --help` is fast. A user's mistake is one line on
stderr and exit status 1.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from lexirec.cli import bench, data, inspect, recommend, run
from lexirec.cli.options import app
from lexirec.core.errors import LexirecError
from lexirec.core.printable import PrintableFormatter, printable

__all__ = ["app", "bench", "data", "inspect", "main", "recommend", "run"]

_PATH_ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG)
"""Errors of the paths that users give."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit; `arguments` default to those of the process."""
    try:
        app(args=arguments)
    except LexirecError as error:
        _fail(str(error))
    except OSError as error:
        if error.errno not in _PATH_ERRORS:
            raise
        _fail(f"{error.filename or 'the disk'}: {error.strerror}; free space or choose another path")
    except MemoryError:
        _fail("not enough memory; use smaller batches or a machine with more memory (lexirec doctor shows it)")


def _fail(message: str) -> None:
    typer.echo(f"lexirec: {printable(' '.join(message.split()))}", err=True)
    raise SystemExit(1)


def _print_version(wanted: bool) -> None:
    if wanted:
        from lexirec.core.environment import versions

        typer.echo(f"lexirec {versions().get('lexirec', '(not installed)')}")
        raise typer.Exit


@app.callback()
def _prepare(
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show warnings only, no progress and no logs.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    _log_to_stderr(logging.WARNING if quiet else logging.INFO)
    _shorten_spinning()


def _shorten_spinning() -> None:
    """Let OpenMP threads that wait for each other sleep soon: on a shared machine, spinning slows training severalfold.

    OpenMP reads the variable when torch is loaded, which happens inside the commands; the user's own settings win.
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
        handler.setFormatter(PrintableFormatter("%(asctime)s %(message)s", datefmt="%H:%M:%S"))
    logger = logging.getLogger("lexirec")
    logger.handlers[:] = [handler]
    logger.setLevel(level)
    logger.propagate = False
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # tokenizers warns about forks after its use otherwise
