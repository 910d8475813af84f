"""Files that are no settings files, however large, deep or endless they are, are one line and soon."""

import pytest

from lexirec.core.config import DataPath, Settings, load_settings, override_settings
from lexirec.core.errors import SettingsError


class Sample(Settings):
    seed: int = 0
    name: str = "x"
    path: DataPath | None = None


def message(tmp_path, content: bytes | str) -> str:
    path = tmp_path / "mine.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SettingsError) as caught:
        load_settings(path, Sample)
    return str(caught.value)


DEEP = "mine.toml: not valid TOML: its tables or lists are nested too deeply"
DEEPER = "mine.toml: tables or lists are nested more than 32 deep; no setting is"
WIDE = "mine.toml: an integer is larger than the 64 bits that TOML has; give a smaller one"


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("x = " + "[" * 100_000, DEEP),
        ("x = " + "[" * 5_000 + "]" * 5_000, DEEP),
        ("x = " + "{a = " * 5_000 + "1" + "}" * 5_000, DEEP),
        (".".join("a" * 50_000) + " = 1", DEEP),
        (" . ".join(["'a'"] * 50_000) + " = 1", DEEP),
        ("[" + ".".join("a" * 50_000) + "]", DEEP),
        ("x = {" + ".".join("a" * 50_000) + " = 1}", DEEP),
        (".".join("a" * 100) + " = 1", DEEPER),
        ("x = " + "[" * 50 + "]" * 50, DEEPER),
        ("seed = " + "9" * 5_000, "mine.toml: not valid TOML: exceeds the limit"),
        ("seed = " + "9" * 100, WIDE),
        ("seed = 0x" + "f" * 50_000, WIDE),
        ("seed = -9223372036854775809", WIDE),
        ("x = [[1, [18446744073709551616]]]", WIDE),
        ("# " + "x" * (1 << 20), "mine.toml is larger than 1 MiB, which no settings file is"),
        ("seed = 1e400", "mine.toml: 'seed' is Infinity; it should be a finite number"),
        ("x" * 900_000 + " = 1", "…'. "),
        ("name = 3", "'name' is 3; it should be a valid string"),
        ("path = 'a\\u0000b'".replace("'", '"'), "'path' holds a null character, which no path has"),
        ("seed = 1\x00", "mine.toml: not valid TOML: "),
        ("seed = 1".encode("utf-16"), "mine.toml: byte 0 is not UTF-8; save the file as UTF-8"),
    ],
)
def test_what_is_no_settings_file_is_one_line(tmp_path, content, expected):
    found = message(tmp_path, content)
    assert expected in found
    assert len(found) < 600
    assert "\n" not in found


def test_long_texts_with_many_full_stops_are_no_long_keys(tmp_path):
    text = "name = '''\n" + "." * 2_000 + "\n" + "A sentence. " * 400 + "\n'''\n"
    (tmp_path / "mine.toml").write_text(text)
    assert len(load_settings(tmp_path / "mine.toml", Sample).name) > 4_000


def test_a_byte_order_mark_is_read_over(tmp_path):
    (tmp_path / "mine.toml").write_bytes(b"\xef\xbb\xbfseed = 3\r\n")
    assert load_settings(tmp_path / "mine.toml", Sample).seed == 3


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/dev/zero", "/dev/zero is larger than 1 MiB"),
        ("/proc/self/mem", "/proc/self/mem cannot be read: "),
        ("a\0b", "cannot be read: embedded null byte"),
        ("x" * 5_000, "cannot be read: File name too long"),
        ("", ". is a folder; give a TOML file"),
        (3, "3 is no path of a settings file; give the path of a TOML file"),
        (None, "null is no path of a settings file"),
        (b"mine.toml", "is no path of a settings file"),
        (["mine.toml"], "a list is no path of a settings file"),
    ],
)
def test_what_is_no_path_of_a_file_is_one_line(path, expected):
    with pytest.raises(SettingsError) as caught:
        load_settings(path, Sample)
    assert expected in str(caught.value)


def test_a_link_to_itself_is_one_line(tmp_path):
    (tmp_path / "loop.toml").symlink_to("loop.toml")
    with pytest.raises(SettingsError, match=r"loop\.toml cannot be read: Too many levels of symbolic links"):
        load_settings(tmp_path / "loop.toml", Sample)


@pytest.mark.timeout(20)
def test_files_that_extend_each_other_end(tmp_path):
    for number in range(40):
        (tmp_path / f"chain{number}.toml").write_text(f'extends = "chain{number + 1}.toml"\n')
        (tmp_path / f"twice{number}.toml").write_text(
            f'extends = ["twice{number + 1}.toml", "twice{number + 1}.toml"]\n'
        )
    for number in (20, 40):
        (tmp_path / f"chain{number}.toml").write_text("seed = 4\n")
        (tmp_path / f"twice{number}.toml").write_text("seed = 4\n")
    assert load_settings(tmp_path / "chain0.toml", Sample).seed == 4
    (tmp_path / "chain20.toml").write_text('extends = "chain21.toml"\n')
    for name in ("chain0.toml", "twice0.toml"):
        with pytest.raises(
            SettingsError, match=rf"^{name}: more than 32 files extend each other, or more than 256 are"
        ):
            load_settings(tmp_path / name, Sample)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ('"/dev/zero"', "extends /dev/zero, but /dev/zero is larger than 1 MiB"),
        ('"a\\u0000"', "mine.toml: 'extends' holds a null character, which no path has"),
        ('"${LEXIREC_NO_SUCH}/x"', "mine.toml: 'extends' uses the environment variable LEXIREC_NO_SUCH, which is not"),
        ("3", "mine.toml: 'extends' is 3; it should be the name of a TOML file, or a list of names"),
        ("[3]", "mine.toml: 'extends' is a list; it should be"),
        ('""', "is a folder; give a TOML file"),
    ],
)
def test_what_cannot_be_extended_is_one_line(tmp_path, given, expected):
    assert expected in message(tmp_path, f"extends = {given}\n")


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("override", "expected"),
    [
        (".".join("a" * 1_000) + "=1", "no setting is 1000 tables deep"),
        ("seed=" + "[" * 100_000, "not valid TOML: its tables or lists are nested too deeply"),
        ("seed=" + "[" * 50 + "]" * 50, "are nested more than 32 deep"),
        ("seed=" + "9" * 5_000, "not valid TOML: exceeds the limit"),
        ("seed=0x" + "f" * 5_000, "an integer is larger than the 64 bits that TOML has"),
        ("path=a\0b", "'path' holds a null character"),
    ],
)
def test_overrides_are_bounded_too(override, expected):
    with pytest.raises(SettingsError) as caught:
        override_settings(Sample, [override])
    assert expected in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("overrides", ["seed=1", {"seed": 1}, [3], [b"seed=1"], None, 3, iter(["seed=1"])])
def test_overrides_are_a_list_of_texts(overrides):
    with pytest.raises(SettingsError, match=r'overrides are .*; give a list of texts such as \["seed=1"\]'):
        override_settings(Sample, overrides)
