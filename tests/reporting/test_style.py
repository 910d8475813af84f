import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.figure import Figure

from lexirec.reporting.style import STYLE, families, save


def test_fonts_of_other_scripts_stand_behind_the_usual_one_where_they_are_installed():
    installed = {font.name for font in font_manager.fontManager.ttflist}
    first, *others = families()
    assert first == "sans-serif"
    assert set(others) <= installed


def test_equal_figures_are_equal_files(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        with mpl.rc_context(dict(STYLE)):
            figure = Figure()
            figure.subplots().plot([1, 2], label="from $5_{ to $10")
        assert save(figure, tmp_path / name, "figure") == "figure.png"
    for kind in ("png", "svg"):
        assert (tmp_path / "one" / f"figure.{kind}").read_bytes() == (tmp_path / "two" / f"figure.{kind}").read_bytes()
