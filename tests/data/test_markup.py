import time

import pytest

from lexirec.data.markup import plain_text


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<p>red&nbsp;<b>pan</b></p><br/>&amp;", "red pan &"),
        ('<span id="productTitle">Nice &amp; soft</span>', "Nice & soft"),
        ("<!-- x --><script>var x=1;</script>Real", "Real"),
        ('<div class="a">Soft<br>', "Soft"),
        ("red<br>blue<LI>green", "red blue green"),
        ("H<sub>2</sub>O and x<sup>2</sup>", "H2O and x2"),
        ("<em>a</em><em>b</em><span>c</span><span>d</span>", "ab c d"),
        ('<a href="x>y">link</a>, <a href=x>more</a><a>z</a>', "link, more z"),
        ("<IMG SRC='x.png'/>Pic<input type=text>", "Pic"),
        ("<o:p></o:p>Word", "Word"),
        ("<html><head><title>T</title></head><body>t</body></html>", "T t"),
        ("<![CDATA[hi]]> <?xml version='1'?>you", "hi you"),
        ("<b>Great pan", "Great pan"),
        ("x <style>.a{b:c}</style>y <script>f(", "x y"),
    ],
)
def test_tags_are_left_out(page, text):
    assert plain_text(page) == text


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("AT&amp;T, AT&amp;amp;T and caf&eacute;", "AT&T, AT&T and café"),
        ("&#39;x&#39; &#x27;y&#x27; &lt;3", "'x' 'y' <3"),
        ("&lt;b&gt;x&lt;/b&gt; &amp;lt;p&amp;gt;y", "x y"),
        ("Tom &amp Jerry &nbsp", "Tom & Jerry"),
        ("R&D, Q&A, Rock &roll, fish &chips", "R&D, Q&A, Rock &roll, fish &chips"),
        ("&#0;&#xD800;&#99999999;", "���"),
        ("a\u00adb\u200b c\u00a0 d\u202ee\x07", "ab c de"),
    ],
)
def test_entities_become_characters_and_what_shows_nothing_goes(page, text):
    assert plain_text(page) == text


@pytest.mark.parametrize(
    "text",
    [
        "I <3 you",
        "a < b and c > d",
        "a<b and b>c",
        "x<y>z",
        "std::vector<int> v; std::map<std::string, List<Object>> m = {}",
        "vector<b>, List<A>, Set<Label>, C<T>; D<U>",
        "Q&A for <Title>",
        "1 < 2 && 3 > 2",
        "{curly} braces, {red; big}",
        "$.99 Bargain (new); = x",
        "P. (Something)",
        "If (you) can; = read",
        "document: the film (2004); director=x",
        '{"a": 1}',
        "👩\u200d👩\u200d👧 family",
        "<p",
        "",
    ],
)
def test_what_only_looks_like_a_page_stays(text):
    assert plain_text(text) == text


@pytest.mark.parametrize(
    "script",
    [
        "var aPageStart = (new Date()).getTime();\nvar ue_t0=ue_t0||+new Date();",
        "(function(){ var a=1; })();",
        "if (x == 1) { y(); }",
        "window.ue_ihb = (window.ue_ihb || 0) + 1; f();",
        "P.when('A').execute(function(A){ A.on('x', function(){}); });",
        "<script>alert(1)",
        ".a{color:red} div.b > p, #c {margin:0 1em;}",
        "@media (max-width:600px){.a{color:red}}",
    ],
)
def test_a_text_that_is_only_a_script_or_a_style_sheet_is_none(script):
    assert plain_text(script) == ""


def test_words_beside_scripts_and_styles_stay():
    assert plain_text("Nice mug .aplus p, #x > a {color:red; margin:0} Blue") == "Nice mug Blue"
    assert plain_text("var x = (1); var y = {}; Real Mug") == "Real Mug"


@pytest.mark.parametrize(
    "part",
    [
        "<a ",
        '<a "<',
        "&",
        "a ",
        ".a ",
        "<script",
        "<!--",
        "@media ",
        "{",
        "<p>",
        "((",
        "p{a:",
        "p{a:b",
        "<a '",
        "&#",
        ";=",
    ],
)
def test_no_text_takes_long(part):
    text = part * (200_000 // len(part)) + "{"
    start = time.process_time()
    plain_text(text)
    assert time.process_time() - start < 5
