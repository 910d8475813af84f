"""Registry of identifier schemes: kind -> module and class.

A new scheme is a module of this package with an `IdentifierSettings`, and one line here (see CONTRIBUTING.md).
"""

from __future__ import annotations

from lexirec.core.registry import Registry
from lexirec.semantic_ids.identifiers.base import IdentifierSettings

SCHEMES: Registry[type[IdentifierSettings]] = Registry(
    "lexirec.semantic_ids.identifiers",
    {
        "lexical": "schemes:LexicalIdentifiers",
        "keyword": "schemes:KeywordIdentifiers",
        "text": "schemes:TextIdentifiers",
        "codes": "schemes:CodeIdentifiers",
        "published": "published:PublishedIdentifiers",
        "permuted": "permuted:PermutedIdentifiers",
    },
)
