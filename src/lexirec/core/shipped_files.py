"""Files shipped with lexirec: the experiment recipes, installed or in a checkout.

`lexirec:gram.toml` names one on the command line, in `extends` and wherever a setting is a path.
"""

from __future__ import annotations

from pathlib import Path

from lexirec.core.errors import SettingsError, did_you_mean

PREFIX = "lexirec:"
"""Prefix of the name of a shipped file."""

_PACKAGE = Path(__file__).resolve().parents[1]


def shipped(name: str) -> Path:
    """Return the path of a file below `experiments/`, installed or in a checkout.

    Raises:
        SettingsError: there is no such file.
    """
    installed = _PACKAGE / "experiments"
    folder = installed if installed.is_dir() else _PACKAGE.parents[1] / "experiments"
    path = folder / name
    if not path.is_file():
        names = [each.relative_to(folder).as_posix() for each in folder.rglob("*.toml")]
        raise SettingsError(
            f"{PREFIX}{name}: lexirec ships no such file; the shipped files are in {folder}.{did_you_mean(name, names)}"
        )
    return path


def given_file(given: str | Path) -> Path:
    """Return a path, with `lexirec:NAME` replaced by the path of the shipped file."""
    text = str(given)
    return shipped(text.removeprefix(PREFIX)) if text.startswith(PREFIX) else Path(given)
