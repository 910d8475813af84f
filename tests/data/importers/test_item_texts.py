from __future__ import annotations

import pytest

from lexirec.data.importers.item_texts import plain_text


@pytest.mark.parametrize(
    ("published", "words"),
    [
        ("Widget 0", "Widget 0"),
        ('<span id="productTitle">Nice &amp; soft</span>', "Nice & soft"),
        ("<!-- x --><script>var x=1;</script>Real", "Real"),
        ("<style>.a{color:red}</style>Pan", "Pan"),
        ("Title <script src='x'></script> end", "Title end"),
        ("&lt;script&gt;alert(1)&lt;/script&gt;Kettle", "Kettle"),
        ("He <b>drank</b>, and <i>ate</i>.", "He drank, and ate."),
        ("<p>red&nbsp;<b>pan</b></p><br/>&amp;", "red pan &"),
        ("Mug <a href='http://x", "Mug"),
        ("AT&amp;amp;T phone", "AT&T phone"),
        ("Caf&eacute; &#39;Tis", "Café 'Tis"),
        (["One.", "", "<br>Two"], "One. Two"),
    ],
)
def test_markup_goes_and_words_stay(published, words):
    assert plain_text(published) == words


@pytest.mark.parametrize(
    "words",
    [
        "5 < 6 and 7 > 3 mugs",
        "if a<b and c>d then",
        "I <3 NY",
        "Vector<String> in a Nutshell",
        "LEGO <Star Wars> set",
        "JavaScript: The Good Parts",
        "var: a history of the variable",
        "Learn jQuery: $(this) works",
        "Function (Math) set",
        "A new Date (romance)",
        "The window.open handbook",
        "Set {10 pieces}: red",
        "Brace {size: M}",
        '{"a": 1}',
    ],
)
def test_words_that_look_like_code_stay(words):
    assert plain_text(words) == words


@pytest.mark.parametrize(
    "code",
    [
        "var aPageStart = (new Date()).getTime();\nvar ue_t0=ue_t0||+new Date();",
        "<script>var x = 1; unclosed",
        "(function(f) {var _np=(window.P._namespace)})",
        "P.when('A').execute(function(A){ })",
        "if(window.ue) { ue('x') }",
        "function show(a) { return a }",
        "document.write('<b>x</b>')",
        "window.ue_ihb = 1",
        ".a-box-inner{background-color:#fff}#buybox .selected{border:1px}",
        "@media (max-width: 3px) { a { color: red; } }",
        "<span class=",
        "<!-- only",
        "&nbsp;&amp;nbsp;",
        "  ",
        None,
        12,
        [],
    ],
)
def test_scripts_style_sheets_and_nothing_are_no_text(code):
    assert plain_text(code) is None
