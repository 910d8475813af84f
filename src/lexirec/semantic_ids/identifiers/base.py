"""Base class of identifier schemes: settings with a method that builds the identifiers of a catalogue."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lexirec.core.errors import SettingsError
from lexirec.core.registry import PartSettings
from lexirec.semantic_ids.codes import Codes
from lexirec.semantic_ids.identifiers.identifiers import Identifiers
from lexirec.semantic_ids.lexicon.lexicon import Lexicon

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from lexirec.data.catalog import Catalog

_IN_WORDS = {"codes": "codes", "lexicon": "a lexicon"}


@dataclass(frozen=True)
class NamingInputs:
    """Inputs of an identifier scheme; codes and lexicon are read on first use.

    Attributes:
        catalog: The items.
        tokenizer: The backbone's tokenizer, whose ids become the tokens; None uses words.
        readers: Functions that read `codes` and `lexicon`, where available.
        files: External files by name, as in `IdentifierSettings.files`.
    """

    catalog: Catalog
    tokenizer: PreTrainedTokenizerBase | None = None
    readers: Mapping[str, Callable[[], Any]] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)

    @property
    def codes(self) -> Codes:
        """The items' codes."""
        codes: Codes = self.readers["codes"]()
        return codes

    @property
    def lexicon(self) -> Lexicon:
        """The names of the codes' cells."""
        lexicon: Lexicon = self.readers["lexicon"]()
        return lexicon


class IdentifierSettings(PartSettings):
    """Settings of an identifier scheme, and the scheme itself; `needs` may name `codes` and `lexicon`."""

    @abstractmethod
    def identify(self, inputs: NamingInputs) -> Identifiers:
        """Return the items' identifiers."""


def identify_items(settings: IdentifierSettings, inputs: NamingInputs) -> Identifiers:
    """Return the identifiers of a catalogue's items by any scheme.

    Raises:
        SettingsError: the scheme needs codes or a lexicon that are not available.
        DataError: as documented for the scheme.
    """
    if any(name not in inputs.readers for name in settings.needed()):
        needed = " and ".join(_IN_WORDS[name] for name in settings.needed())
        raise SettingsError(f"identifiers of kind '{settings.kind}' need {needed}; give them, or choose another kind")
    return settings.identify(inputs)


def name_items(
    settings: IdentifierSettings,
    catalog: Catalog,
    codes: Codes | None = None,
    lexicon: Lexicon | None = None,
    tokenizer: PreTrainedTokenizerBase | None = None,
) -> Identifiers:
    """Return the identifiers of a catalogue's items by any scheme that reads no file; raises as `identify_items`."""
    inputs = {"codes": codes, "lexicon": lexicon}
    readers = {name: lambda value=value: value for name, value in inputs.items() if value is not None}
    return identify_items(settings, NamingInputs(catalog, tokenizer, readers))
