from lexirec.semantic_ids.identifiers.base import IdentifierSettings
from lexirec.semantic_ids.identifiers.registry import SCHEMES


def test_every_scheme_is_found_by_its_own_kind():
    for kind, settings in SCHEMES.items():
        assert issubclass(settings, IdentifierSettings)
        assert settings.model_fields["kind"].default == kind
        assert set(settings.needs) <= {"codes", "lexicon"}
