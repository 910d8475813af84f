"""Which host an API key may be sent to: only one that the user named for it, outside the experiment file.

An experiment file names both the host (`base_url`) and the environment variable with the key (`calls.key_variable`). A
file from somebody else could so send any variable anywhere. Therefore the pair must be named in the environment,

    LEXIREC_TEACHER_HOSTS="openrouter.ai=OPENROUTER_API_KEY, llm.example.com:8443=EXAMPLE_KEY"

or confirmed at a terminal. OpenAI's own host and OPENAI_API_KEY belong together without it.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from urllib.parse import urlsplit

from lexirec.core.errors import SettingsError
from lexirec.core.printable import printable

HOSTS_VARIABLE = "LEXIREC_TEACHER_HOSTS"
_OPENAI = ("api.openai.com", "OPENAI_API_KEY")
_LOCAL = ("localhost", "127.0.0.1", "::1")


def key_for(base_url: str | None, variable: str, confirm: Callable[[str], bool] | None = None) -> str:
    """Return the API key for an endpoint, "" where none is to be sent.

    Args:
        base_url: Address of the endpoint; None for OpenAI's own, or the one of the environment variable
            OPENAI_BASE_URL.
        variable: Environment variable with the key.
        confirm: Asks the user a question; by default at the terminal, if there is one.

    Raises:
        SettingsError: a key is set that the user has not named this host for, or the address is none.
    """
    key = os.environ.get(variable, "")
    address = base_url or os.environ.get("OPENAI_BASE_URL") or "https://api.openai.com/v1"
    host, port, scheme = _parts(address)
    if not key:
        if host == _OPENAI[0]:
            raise SettingsError(
                f"OpenAI needs an API key, but the environment variable {variable} is not set; set it, or give the"
                " 'base_url' of your own endpoint"
            )
        return ""
    named = _named(host, port, variable) or (base_url is None and variable == _OPENAI[1])
    if not named and variable == _OPENAI[1] and host in _LOCAL:
        return ""  # an own endpoint on this machine needs none
    ask = confirm or _terminal()
    question = f"Send the environment variable {printable(variable)} as API key to {printable(host)}?"
    if not named and not (ask is not None and ask(question)):
        raise SettingsError(
            f"the experiment would send the environment variable {printable(variable)} to {printable(host)}, which is"
            f' not named for it; if you trust that host, set {HOSTS_VARIABLE}="{printable(host)}={printable(variable)}"'
        )
    if scheme != "https" and host not in _LOCAL:
        raise SettingsError(
            f"'base_url' is {printable(address)}, which is not encrypted; an API key is sent over https only"
        )
    return key


def _parts(address: str) -> tuple[str, int | None, str]:
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", None
    if not host or parts.scheme not in ("http", "https"):
        raise SettingsError(
            f"'base_url' is '{printable(address)}'; it should be an address such as http://localhost:8000/v1"
        )
    return host.lower().rstrip("."), port, parts.scheme


def _named(host: str, port: int | None, variable: str) -> bool:
    """Return whether a host may have the key of a variable."""
    entries = [entry.strip() for entry in os.environ.get(HOSTS_VARIABLE, "").split(",")]
    pairs = {(name.strip().lower(), of.strip()) for name, _, of in (entry.partition("=") for entry in entries)}
    return bool({(host, variable), (f"{host}:{port}", variable)} & (pairs | {_OPENAI}))


def _terminal() -> Callable[[str], bool] | None:
    """Return a function that asks at the terminal; None where nobody could answer."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return None

    def ask(question: str) -> bool:
        sys.stderr.write(f"{question} [y/N] ")
        sys.stderr.flush()
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    return ask
