"""The command line `lexirec`: results on stdout, progress and logs on stderr.

Heavy libraries are imported inside the commands, so that `lexirec --help` is fast. A user's mistake is one line on
stderr and exit status 1. Any other error is one line, too, with the file that its traceback was written to, and exit
status 70; `LEXIREC_DEBUG=1` shows the traceback instead.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from lexirec.cli import bench, catalog, data, distribution, inspect, online, recommend, recommend_all, run, serve
from lexirec.cli.options import app
from lexirec.core.errors import LexirecError
from lexirec.core.printable import PrintableFormatter, printable

__all__ = [
    "app",
    "bench",
    "catalog",
    "data",
    "distribution",
    "inspect",
    "main",
    "online",
    "recommend",
    "recommend_all",
    "run",
    "serve",
]

_UNEXPECTED = 70
"""Exit status of an error that is not the user's (EX_SOFTWARE)."""
_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit; `arguments` default to those of the process."""
    try:
        app(args=arguments)
    except LexirecError as error:
        _fail(str(error))
    except SystemExit as end:
        if end.code == _INTERRUPTED:
            cause = end.__context__.__cause__ if end.__context__ is not None else None
            typer.echo(f"lexirec: {str(cause or '') or 'interrupted'}", err=True)
        raise
    except KeyboardInterrupt:
        _fail("interrupted", _INTERRUPTED)
    except Exception as error:
        _explain(error, sys.argv[1:] if arguments is None else arguments)


def _fail(message: str, status: int = 1) -> NoReturn:
    typer.echo(f"lexirec: {printable(' '.join(message.split()))}", err=True)
    raise SystemExit(status)


def _explain(error: Exception, arguments: Sequence[str]) -> NoReturn:
    """Say in one line what the matter is with an error that is no `LexirecError`."""
    from lexirec.core.files import disk_error
    from lexirec.core.tracebacks import write_traceback

    if os.environ.get("LEXIREC_DEBUG"):
        raise error
    full = disk_error(error, Path.cwd())
    if isinstance(error, OSError) and error.filename and error.strerror:
        advice = "free space or choose another path" if full is not None else "choose another path"
        _fail(f"{error.filename}: {error.strerror}; {advice}")
    if full is not None:
        _fail(str(full))
    if _lacks_memory(error):
        _fail("not enough memory; use smaller batches or a machine with more memory (lexirec doctor shows it)")
    written = write_traceback(error, ["lexirec", *arguments])
    text = " ".join(f"{type(error).__name__}: {error}".split())
    text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    _fail(f"unexpected error {text}; the traceback is in {written}; please report it", _UNEXPECTED)


_LONGEST = 300
"""Characters of an unexpected error that are printed."""


def _lacks_memory(error: Exception) -> bool:
    """Say whether an error is a lack of memory, which torch reports as a RuntimeError of its own words."""
    told = str(error).lower()
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and ("out of memory" in told or "can't allocate memory" in told)
    )


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
    _silence_libraries()


def _shorten_spinning() -> None:
    """Let OpenMP threads that wait for each other sleep soon: on a shared machine, spinning slows training severalfold.

    OpenMP reads the variable when torch is loaded, which happens inside the commands; the user's own settings win.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def _silence_libraries() -> None:
    """Keep warnings of libraries for their developers off the terminal; the user's own settings win."""
    if not (sys.warnoptions or os.environ.get("LEXIREC_DEBUG")):
        warnings.simplefilter("ignore")
        os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")


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
