"""Draw the figures of the pages about the two systems, as SVG: `python docs/draw_systems.py`."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

FIGURES = Path(__file__).parent / "figures"
WIDTH = 1060
INK, GREY, PAPER = "#1f2937", "#6b7280", "#ffffff"
FILLS = {
    "data": ("#f3f4f6", "#9ca3af"),
    "text": ("#fef3c7", "#d97706"),
    "model": ("#dbeafe", "#2563eb"),
    "search": ("#dcfce7", "#16a34a"),
    "reward": ("#fce7f3", "#db2777"),
}
"""Kind of a box -> its fill and its border."""
Point = tuple[float, float]


class Drawing:
    """An SVG picture that grows by boxes, arrows and words."""

    def __init__(self, height: int, title: str) -> None:
        """Start with a white sheet, so that it can be read on dark pages, too."""
        self._parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" '
            'font-family="Helvetica, Arial, sans-serif" font-size="14">',
            f"<title>{escape(title)}</title>",
            '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7" '
            f'orient="auto-start-reverse"><path d="M0 0 L10 5 L0 10 z" fill="{GREY}"/></marker></defs>',
            f'<rect width="{WIDTH}" height="{height}" rx="10" fill="{PAPER}"/>',
        ]

    def panel(self, x: float, y: float, width: float, height: float, title: str) -> None:
        """Draw a framed area with a heading."""
        self._parts.append(
            f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="8" fill="none" stroke="#d1d5db" '
            'stroke-dasharray="5 4"/>'
        )
        self.words(x + 14, y + 24, title, bold=True, anchor="start")

    def box(self, x: float, y: float, width: float, height: float, lines: Sequence[str], kind: str) -> None:
        """Draw a box with centred lines, the first of them bold."""
        fill, border = FILLS[kind]
        self._parts.append(
            f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="6" fill="{fill}" stroke="{border}"/>'
        )
        top = y + height / 2 - 9 * (len(lines) - 1)
        for place, line in enumerate(lines):
            self.words(x + width / 2, top + 18 * place + 5, line, bold=place == 0, small=place > 0)

    def words(
        self, x: float, y: float, text: str, *, bold: bool = False, small: bool = False, anchor: str = "middle"
    ) -> None:
        """Write one line; small ones in grey."""
        weight = ' font-weight="600"' if bold else ""
        size = ' font-size="12.5"' if small else ""
        colour = INK if not small else "#374151"
        self._parts.append(
            f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" fill="{colour}"{weight}{size}>{escape(text)}</text>'
        )

    def arrow(self, *points: Point) -> None:
        """Draw an arrow along some points."""
        path = " ".join(f"{x:g},{y:g}" for x, y in points)
        self._parts.append(
            f'<polyline points="{path}" fill="none" stroke="{GREY}" stroke-width="1.6" marker-end="url(#tip)"/>'
        )

    def __str__(self) -> str:
        return "\n".join([*self._parts, "</svg>\n"])


def gram() -> Drawing:
    """Return GRAM: identifiers from a tree of words, late fusion of many prompts, beams on a trie."""
    draw = Drawing(
        560, "GRAM: items are named by words, a history is read as many prompts, the decoder reads all of them"
    )
    draw.panel(20, 16, 1020, 150, "1. Name the items, once for a catalogue")
    names = [
        (["item text", "title, brand, categories"], "data"),
        (["item vectors", "TF-IDF + SVD, or a model"], "data"),
        (["tree of clusters", "hierarchical k-means"], "data"),
        (["words per cluster", "TF-IDF lexicon"], "text"),
        (["identifier", "kitchen | pan | iron"], "text"),
    ]
    for place, (lines, kind) in enumerate(names):
        x = 40 + 202 * place
        draw.box(x, 68, 176, 66, lines, kind)
        if place:
            draw.arrow((x - 26, 101), (x - 2, 101))
    draw.panel(20, 186, 640, 356, "2. Read a history: every prompt on its own")
    prompts = [
        (["user prompt (coarse)", "the identifiers of the whole history"], "text"),
        (["item prompt, newest item", "identifier, similar items, title, brand"], "text"),
        (["item prompt, the item before", "identifier, similar items, title, brand"], "text"),
        (["… one prompt per item", "computed once per item"], "text"),
    ]
    for place, (lines, kind) in enumerate(prompts):
        y = 226 + 76 * place
        draw.box(40, y, 270, 56, lines, kind)
        draw.arrow((312, y + 28), (366, y + 28))
        draw.arrow((472, y + 28), (524, y + 28))
        draw.box(526, y, 114, 56, ["states", "+ position"], "model")
    draw.box(368, 226, 102, 284, ["T5", "encoder", "shared"], "model")
    draw.panel(680, 186, 360, 356, "3. Write the next item")
    draw.box(704, 226, 310, 56, ["T5 decoder", "attends to all prompts at once (late fusion)"], "model")
    for place in range(4):
        y = 226 + 76 * place
        draw.arrow((642, y + 28), (672, y + 28), (672, 254), (702, 254))
    draw.arrow((859, 284), (859, 312))
    draw.box(704, 314, 310, 56, ["head", "scores the children of a trie node"], "model")
    draw.arrow((859, 372), (859, 400))
    draw.box(704, 402, 310, 56, ["beam search on the trie", "only identifiers of items can be written"], "search")
    draw.arrow((859, 460), (859, 484))
    draw.box(704, 486, 310, 42, ["ranked items"], "search")
    return draw


def tsrec() -> Drawing:
    """Return TS-Rec: semantic IDs with a meaning, one prompt, tasks, and reinforcement."""
    draw = Drawing(
        590, "TS-Rec: tokens of semantic IDs start with the meaning of words, are aligned with it, and reinforced"
    )
    draw.panel(20, 16, 1020, 220, "1. Name the items, and give the tokens a meaning")
    names = [
        (["item text", "title, brand, categories"], "data"),
        (["item vectors", "TF-IDF + SVD, or a model"], "data"),
        (["codes per level", "residual k-means, RQ-VAE"], "data"),
        (["semantic ID", "<a_3><b_7><c_1>"], "text"),
    ]
    for place, (lines, kind) in enumerate(names):
        x = 40 + 202 * place
        draw.box(x, 52, 176, 62, lines, kind)
        if place:
            draw.arrow((x - 26, 83), (x - 2, 83))
    draw.arrow((532, 116), (532, 144))
    draw.box(
        404,
        146,
        258,
        70,
        ["lexicon", "<a_3>: “guitar, strings, music”", "counted, written by an LLM, or yours"],
        "text",
    )
    draw.arrow((664, 181), (706, 181))
    draw.box(
        708, 146, 312, 70, ["SA-Init", "the row of a token starts as the mean", "of the rows of its keywords"], "model"
    )
    draw.panel(20, 256, 500, 318, "2. Fine-tune a causal language model")
    tasks = [
        ["next item", "history of semantic IDs → semantic ID"],
        ["TS-Align", "token → its meaning, meaning → its token"],
        ["optional tasks", "titles, descriptions, preferences"],
    ]
    for place, lines in enumerate(tasks):
        y = 296 + 90 * place
        draw.box(40, y, 274, 66, lines, "text")
        draw.arrow((316, y + 33), (366, y + 33))
    draw.box(368, 296, 132, 246, ["causal LM", "any stock", "decoder"], "model")
    draw.arrow((864, 218), (864, 246), (434, 246), (434, 294))
    draw.panel(540, 256, 240, 318, "3. Use")
    draw.arrow((502, 329), (560, 329))
    draw.box(562, 296, 196, 66, ["head", "scores the children", "of a trie node"], "model")
    draw.arrow((660, 364), (660, 384))
    draw.box(562, 386, 196, 66, ["beam search on the trie", "only items can be written"], "search")
    draw.arrow((660, 454), (660, 474))
    draw.box(562, 476, 196, 66, ["ranked items"], "search")
    draw.panel(800, 256, 240, 318, "4. Reinforce (optional)")
    draw.arrow((760, 419), (818, 419))
    draw.box(820, 386, 200, 66, ["group of proposals", "the beams of the search"], "reward")
    draw.arrow((920, 384), (920, 364))
    draw.box(820, 296, 200, 66, ["GRPO step", "rewards compared in the group"], "reward")
    draw.arrow((818, 315), (760, 315))
    draw.box(820, 476, 200, 66, ["validation decides", "the best weights remain"], "reward")
    return draw


FIGURES_OF = {"gram.svg": gram, "tsrec.svg": tsrec}
"""File -> what draws it."""


def main() -> None:
    """Write all figures."""
    for name, draw in FIGURES_OF.items():
        (FIGURES / name).write_text(str(draw()), encoding="utf-8")


if __name__ == "__main__":
    main()
