"""Plain text of texts from web pages: without HTML tags, entities, style sheets, scripts and invisible characters.

Only names of HTML elements are tags, so that "a < b", "<3" and "std::vector<int>" stay as they are.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

SUSPECT = (
    r"<[A-Za-z/!?]|&(?:#|[A-Za-z][A-Za-z0-9]+;|amp|lt|gt|quot|nbsp|apos)|[{=]|\)\s*[;.]|[\x{00}-\x{08}\x{0e}-\x{1f}"
    r"\x{7f}-\x{a0}\x{ad}\x{1680}\x{2000}-\x{200b}\x{200e}\x{200f}\x{2028}-\x{202f}\x{205f}-\x{2069}\x{3000}\x{feff}]"
)
"""Pattern (RE2): `plain_text` changes nothing but white space of a text that does not match it."""


def _set(names: str) -> frozenset[str]:
    return frozenset(names.split())


_LONGEST = 1_000_000
"""Characters beyond which a text is cut before it is cleaned."""
_FORMATTING = _set("a abbr b big del em font i ins mark q s small strike strong sub sup tt u")
"""Elements inside a line: they hold words, so they go wherever no word stands directly before them."""
_CERTAIN = _set(
    "blockquote br dd div dl dt em font h1 h2 h3 h4 h5 h6 hr html iframe img li nobr noscript ol p span strong table"
    " tbody td tfoot th thead tr tt ul wbr"
)
"""Elements whose names are no words that a text would have in angle brackets."""
_OTHERS = _set(
    "acronym address area article aside audio base bdi bdo body button canvas caption center cite code col colgroup"
    " data datalist details dfn dialog embed fieldset figcaption figure footer form frame frameset head header hgroup"
    " input kbd label legend link main map menu meta meter nav noframes object optgroup option output param path"
    " picture pre progress rp rt ruby samp section select source summary svg template textarea time title track var"
    " video"
)
"""Further elements: tags where they have attributes or both ends are in the text."""
_GLUED = _set("b big em font i s small strike strong sub sup tt u wbr")
"""Elements that part no word: H<sub>2</sub>O."""
_OFFICE = frozenset(("m", "o", "st1", "v", "w"))
"""Prefixes of the elements that word processors write."""

_TAG = re.compile(
    r"<(?P<end>/?)(?P<name>[A-Za-z][A-Za-z0-9]*)(?P<office>:\w+)?"
    r"(?P<rest>[\s/](?:[^<>\"']|\"[^\"<]*\"|'[^'<]*')*+|[\s/][^<>]*)?>"
)
_HIDDEN = re.compile(
    r"<(script|style|noscript|template)\b(?:.*?</\1\s*>|.*\Z)|<!--.*?(?:-->|\Z)|<!doctype[^<>]*>|<\?xml[^<>]*>",
    re.IGNORECASE | re.DOTALL,
)
_CDATA = re.compile(r"<!\[CDATA\[|\]\]>")
_ENTITY = re.compile(
    r"&(?:#\d{1,9};?|#[xX][0-9a-fA-F]{1,9};?|[A-Za-z][A-Za-z0-9]{1,31};|(?:amp|lt|gt|quot|nbsp|apos)(?![\w=]))"
)
_SELECTOR = (
    r"(?:[.#*]|\b(?:html|body|div|span|p|a|ul|ol|li|img|table|tr|td|th|h[1-6]|input|button)\b)[\w\-.#:()\[\]=*]*+"
)
_SELECTORS = re.compile(rf"{_SELECTOR}(?:[\s,>+~]+{_SELECTOR})*\s*\Z")
_LONGEST_SELECTORS = 300
_RULES = re.compile(r"\{\s*(?:[\w-]+\s*:[^{}]*)?\}")
_STYLE_BLOCK = re.compile(
    r"@(?:media|import|charset|font-face|keyframes|supports|page|namespace)\b[^{};<>@]{0,300}(?:\{\s*\}|;)"
)
_SCRIPT = re.compile(
    r"""\s*+(?:
        (?:var|let|const)\s+[\w$]+\s*=[^=]
        | [(!;]*+function\b\s*[\w$]*\s*\(
        | (?:window|document|self|location|jQuery|amznJQ|ue|P)\s*(?:\.\s*[A-Za-z_$]|\[|\()
        | \$\s*(?:\.\s*[A-Za-z]|\()
        | (?:if|for|while|try)\s*[({]
        | /\*
        | ["']use\ strict
    )""",
    re.VERBOSE,
)
_CODE_MARKS = re.compile(r"[{}();=]")
_INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff]"
)
_SPACES = re.compile(r"\s+")
_SEAM = "\x00"


def plain_text(text: str) -> str:
    """Return a text as a reader of the page sees it, on one line.

    Scripts, style sheets, comments and tags are left out, entities become characters (also where they are written
    twice over, `&amp;lt;`), invisible characters are dropped, and runs of white space become one blank. A text that is
    nothing but a script becomes "".
    """
    text = text[:_LONGEST]
    for _ in range(3):
        visible = _without_code(_without_tags(text)) if "<" in text or "{" in text or ";" in text else text
        written = _ENTITY.sub(_character, visible) if "&" in visible else visible
        if written == text:
            break
        text = written
    text = _without_code(_without_tags(text))
    return _SPACES.sub(" ", _INVISIBLE.sub("", text)).strip()


def _character(entity: re.Match[str]) -> str:
    written = entity[0]
    return html.unescape(written if written.endswith(";") else written + ";")


def _without_tags(text: str) -> str:
    if "<" not in text:
        return text
    text = _CDATA.sub(" ", _HIDDEN.sub(" ", text))
    ends = {(tag["name"].lower(), tag["end"]) for tag in _TAG.finditer(text)}
    paired = {name for name, end in ends if not end and (name, "/") in ends}

    def replacement(tag: re.Match[str]) -> str:
        name = tag["name"].lower()
        if not _is_tag(tag, name, paired):
            return tag[0]
        if name in _GLUED:
            return ""
        return _SEAM if name in ("a", "span") else " "

    text = _TAG.sub(replacement, text)
    return re.sub(r"(?<=\w)\x00+(?=\w)", " ", text).replace(_SEAM, "")


def _is_tag(tag: re.Match[str], name: str, paired: set[str]) -> bool:
    if tag["office"]:
        return name in _OFFICE
    rest = (tag["rest"] or "").strip(" /\t\r\n")
    if rest and "=" not in rest:
        return False
    if name in _CERTAIN:
        return True
    if name not in _FORMATTING and name not in _OTHERS:
        return False
    before = tag.string[tag.start() - 1 : tag.start()]
    alone = name in _FORMATTING and not (before.isalnum() or before in ("_", ":"))
    return bool(rest) or name in paired or alone


def _without_code(text: str) -> str:
    """Leave out style rules, and a script from which a text begins."""
    if "{" in text:
        text = _STYLE_BLOCK.sub(" ", "".join(_without_rules(text)))
    if _SCRIPT.match(text) and len(_CODE_MARKS.findall(text)) >= 3:
        rest = re.split(r"[;}]", text)[-1]
        return "" if _CODE_MARKS.search(rest) else rest
    return text


def _without_rules(text: str) -> Iterator[str]:
    """Yield the parts of a text between its style rules, such as `.price {color: red}`."""
    start = 0
    for rules in _RULES.finditer(text):
        first = max(start, rules.start() - _LONGEST_SELECTORS)
        selectors = _SELECTORS.search(text[first : rules.start()])
        if selectors:
            yield text[start : first + selectors.start()]
            yield " "
            start = rules.end()
    yield text[start:]
