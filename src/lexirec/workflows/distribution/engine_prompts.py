"""Prompts of an exported engine folder: its template file, and the token ids of a history without lexirec's builder.

The template is of token ids, so that no engine tokenises anything: a prompt is `before`, the identifiers of the newest
items from the oldest to the newest with `separator` between them, and `after`. The oldest items are dropped until the
prompt has at most `max_length` tokens.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from safetensors import SafetensorError
from safetensors.numpy import load_file

from lexirec.core.errors import ArtifactError
from lexirec.models.tsrec.prompts import PromptBuilder
from lexirec.nn.prompt_templates import NEXT_ITEM

PROMPT = "prompt.json"
_TABLE = "sid_table.safetensors"


def prompt_template(builder: PromptBuilder) -> dict[str, Any]:
    """Return the template of next-item prompts as JSON values; `text` shows the same words for people."""
    before, after, separator = builder.frame_of(NEXT_ITEM)
    decode = builder.tokenizer.decode
    return {
        "before": before,
        "separator": separator,
        "after": after,
        "max_history": builder.settings.max_history,
        "max_length": builder.max_length,
        "text": f"{decode(before)}{{SID}}{decode(separator)}{{SID}}{decode(after)}",
    }


@dataclass(frozen=True)
class EnginePrompts:
    """The template and the identifiers of an exported engine folder.

    Attributes:
        template: content of `prompt.json`.
        sids: token ids of every item.
    """

    template: dict[str, Any]
    sids: Sequence[Sequence[int]]

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read them from an exported folder.

        Raises:
            ArtifactError: a file is missing or damaged.
        """
        try:
            template = json.loads((folder / PROMPT).read_bytes())
            table = load_file(folder / _TABLE)
            rows = zip(table["tokens"].tolist(), table["lengths"].tolist(), strict=True)
            return cls(template, [row[:length] for row, length in rows])
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            raise ArtifactError(f"{folder}: the engine's prompts are damaged ({error}); export it again") from None

    def prompt(self, history: Sequence[int]) -> list[int]:
        """Return the prompt of a history of item numbers, oldest first, as token ids."""
        before, separator, after = (self.template[name] for name in ("before", "separator", "after"))
        room = self.template["max_length"] - len(before) - len(after)
        content: list[int] = []
        for item in reversed(history[-self.template["max_history"] :]):
            longer = [*self.sids[item], *(separator if content else []), *content]
            if len(longer) > room:
                break
            content = longer
        return [*before, *content, *after]
