"""Texts of items as published: markup, entities, comments and page scripts taken away."""

from __future__ import annotations

import html
import re
from typing import Any

_COMMENT = re.compile(r"<!--.*?(?:-->|$)|<!\[CDATA\[|\]\]>|<!DOCTYPE[^>]*>", re.DOTALL | re.IGNORECASE)
_CODE = re.compile(r"<(script|style|noscript|template)\b[^>]*>.*?(?:</\1\s*>|$)", re.DOTALL | re.IGNORECASE)
_TAG = re.compile(
    r"</?(?:a|abbr|address|article|aside|audio|b|big|blockquote|body|br|button|canvas|center|cite|code|col|colgroup|dd"
    r"|del|details|div|dl|dt|em|embed|fieldset|figcaption|figure|font|footer|form|frame|h[1-6]|head|header|hr|html|i"
    r"|iframe|img|input|ins|kbd|label|legend|li|link|main|map|mark|meta|nav|noscript|object|ol|optgroup|option|p|param"
    r"|picture|pre|q|s|samp|script|section|select|small|source|span|strike|strong|style|sub|summary|sup|svg|table|tbody"
    r"|td|template|textarea|tfoot|th|thead|title|tr|tt|u|ul|var|video|wbr)(?:\s+[\w:-]+\s*=[^<>]*)?\s*/?>",
    re.IGNORECASE,
)
_CUT_TAG = re.compile(r"<(?:a|br|div|font|img|input|link|meta|p|span|table|td|tr)\s[^<>]*$", re.IGNORECASE)
"""A tag without its end, where a field was cut."""
_SCRIPT = re.compile(
    r"\bvar\s+[\w$]+\s*=[^=]|\bfunction\s*[\w$]*\s*\([^)]*\)\s*\{|\bnew\s+Date\s*\(\s*\)|\.getTime\s*\(\s*\)"
    r"|\bdocument\.(?:write|getElement|querySelector|createElement|cookie)|\bwindow\.[\w$]+\s*(?:=|\|\||\(|\[|\.)"
    r"|\(\s*function\s*\(|\bif\s*\(\s*!?\s*(?:window|document|typeof|ue)\b|\$\(document\)\.ready\s*\(|\bP\.when\s*\(|\bue_t0\b|\baPageStart\b|\bgoogletag\.cmd\b"
)
_STYLE = re.compile(
    r"\{\s*(?:-\w+-)?(?:animation|background|border|bottom|clear|color|content|cursor|display|flex|float|font|height|left"
    r"|letter-spacing|line-height|list-style|margin|max-|min-|opacity|outline|overflow|padding|position|right|text-|top"
    r"|transform|transition|vertical-align|visibility|white-space|width|z-index)[\w-]*\s*:\s*[^{}]+\}",
    re.IGNORECASE,
)
_GAP = "\0"
"""What stands where markup was: a blank, but not before a full stop or comma."""
_BEFORE_MARK = re.compile(rf"{_GAP}+(?=[.,;:!?)\]]+(?:\s|{_GAP}|$))")
_TIMES = 3
"""How often entities are decoded: some texts were encoded twice."""


def plain_text(value: Any) -> str | None:
    """Return the words of a published text, white space collapsed; None where there are none.

    Comments, scripts, style sheets and HTML tags go, entities become characters, lists are joined. A text that is a
    script or a style sheet of the page instead of words is none: shops' crawls hold such titles. Other angle brackets
    stay ("<3", "Vector<String>").
    """
    if isinstance(value, (list, tuple)):
        value = " ".join(str(part) for part in value if part)
    if not isinstance(value, str):
        return None
    text = _without_markup(value)
    for _ in range(_TIMES):
        decoded = html.unescape(text)
        if decoded == text:
            break
        text = _without_markup(decoded)
    text = " ".join(_BEFORE_MARK.sub("", text).replace(_GAP, " ").split())
    return None if not text or is_page_code(text) else text


def is_page_code(text: str) -> bool:
    """Say whether a text is a script or a style sheet instead of words."""
    return bool(_SCRIPT.search(text) or _STYLE.search(text))


def _without_markup(text: str) -> str:
    for pattern in (_COMMENT, _CODE, _TAG, _CUT_TAG):
        text = pattern.sub(_GAP, text)
    return text
