from lexirec.core.errors import ArtifactError, DataError, LexirecError, SettingsError, did_you_mean


def test_every_error_is_a_lexirec_error():
    assert {DataError, SettingsError, ArtifactError} <= set(LexirecError.__subclasses__())


def test_suggests_the_closest_word():
    assert did_you_mean("learning_rte", ["epochs", "learning_rate", "learning"]) == " Did you mean 'learning_rate'?"


def test_suggests_nothing_when_nothing_is_close():
    assert did_you_mean("zzz", ["epochs", "learning_rate"]) == ""
    assert did_you_mean("zzz", []) == ""
