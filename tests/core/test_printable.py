from __future__ import annotations

import io
import json
import logging

import pytest
from rich.console import Console
from rich.table import Table

from lexirec.core.printable import PrintableFormatter, printable, printable_console, printable_json

ATTACKS = {
    "\x1b[2J\x1b[31mred": "\\x1b[2J\\x1b[31mred",
    "a\rb": "a\\x0db",
    "\x1b]0;title\x07": "\\x1b]0;title\\x07",
    "\u202eevil": "\\u202eevil",
    "a\u2066b\u2069": "a\\u2066b\\u2069",
    "\x9b31m": "\\x9b31m",
    "a\x00b\x08c\x7f": "a\\x00b\\x08c\\x7f",
    "line\u2028other": "line\\u2028other",
    "x\U000e0041": "x\\U000e0041",
    "lone \ud800": "lone \\ud800",
}
HARMLESS = ["Grüße", "日本語", "עברית", "العربية", "👩\u200d🚀", "नमस्ते", "a\tb\nc", "na\u0301ïve", "[red]x[/red]"]


@pytest.mark.parametrize("text", ATTACKS)
def test_what_drives_terminals_is_shown_as_an_escape(text):
    assert printable(text) == ATTACKS[text]


@pytest.mark.parametrize("text", HARMLESS)
def test_letters_of_every_script_stay(text):
    assert printable(text) == text


@pytest.mark.parametrize("text", [*ATTACKS, *HARMLESS])
def test_json_reads_back_as_it_was_and_prints_no_control(text):
    written = printable_json({text: [text]})
    assert printable(written) == written
    assert json.loads(written) == {text: [text]}


@pytest.mark.parametrize("terminal", [True, False])
def test_a_console_prints_no_control_of_others_and_keeps_its_own_colours(terminal):
    out = io.StringIO()
    console = printable_console(
        Console(file=out, width=120, force_terminal=terminal, color_system="standard" if terminal else None)
    )
    table = Table("title")
    for text in ATTACKS:
        table.add_row(text)
    console.print(table, style="green")
    console.print("\x1b[2Jplain", soft_wrap=True, markup=False)
    shown = out.getvalue()
    assert ("\x1b[32m" in shown) == terminal
    for attack in ("\x1b[2J", "\x1b[31m", "\u202e", "\x07", "\r", "\x9b"):
        assert attack not in shown
    assert "\\x1b[2J" in shown
    assert "\\u202eevil" in shown


def test_log_lines_are_printable():
    record = logging.LogRecord("x", logging.INFO, "f", 1, "item %s", ("\x1b[2J",), None)
    assert PrintableFormatter("%(message)s").format(record) == "item \\x1b[2J"
