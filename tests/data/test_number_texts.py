import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lexirec.data.number_texts import read_numbers

NBSP, NARROW, MINUS, LEFT_TO_RIGHT = "\u00a0", "\u202f", "\u2212", "\u200e"


def read(*texts: str | None) -> list[float]:
    """Return the numbers of a column of these texts."""
    return read_numbers(pa.array(list(texts), pa.string())).values.tolist()


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("12", 12),
        ("12.5", 12.5),
        ("12.", 12),
        (".5", 0.5),
        ("-3", -3),
        ("+3", 3),
        ("1e3", 1000),
        ("-1.5E-2", -0.015),
        ("007", 7),
        ("0.125", 0.125),
        ("0,125", 0.125),
        ("12,50", 12.5),
        (",5", 0.5),
        ("1,5e3", 1500),
        ("1234,567", 1234.567),
        ("1.234,56", 1234.56),
        ("1,234.56", 1234.56),
        ("1.234.567", 1234567),
        ("1,234,567", 1234567),
        ("1,23,456.7", 123456.7),
        ("1 234,5", 1234.5),
        ("12 000 000", 12e6),
        ("1'234.50", 1234.5),
        ("1’234,50", 1234.5),
        (f"1{NBSP}234,5{NBSP}€", 1234.5),
        (f"1{NARROW}234,5", 1234.5),
        (f"{LEFT_TO_RIGHT}$12", 12),
        (f"{MINUS}5", -5),
        ("$12.99", 12.99),
        ("12,99 €", 12.99),
        ("€ 5", 5),
        ("£5", 5),
        ("¥500", 500),
        ("500円", 500),
        ("₹ 99", 99),
        ("US$ 5", 5),
        ("R$ 10", 10),
        ("USD 5", 5),
        ("5 USD", 5),
        ("eur5", 5),
        ("kr 5", 5),
        ("5 kr.", 5),
        ("kr.5", 5),
        ("5 Kč", 5),
        ("100,00 zł", 100),
        ("Rs. 100", 100),
        ("$5 USD", 5),
        ("CHF 1'234.50", 1234.5),
        ("5 euros", 5),
        ("-$5", -5),
        ("$-5", -5),
        ("- 5", -5),
        ("(12.50)", -12.5),
        ("($5)", -5),
        ("50%", 50),
        ("12,5 %", 12.5),
        ("12,-", 12),
        ("12.-- €", 12),
        ("1.299,- kr", 1299),
        ("  7\t", 7),
    ],
)
def test_a_number_is_read_as_it_is_written(text, number):
    assert read(text) == [number]


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "call us",
        "free",
        "$",
        "%",
        "-",
        "e5",
        ".",
        ",",
        "nan",
        "inf",
        "1e999",
        "0x1F",
        "1_000",
        "10-20",
        "$10 - $20",
        "10 to 20",
        "from $5",
        "5+",
        "~5",
        "<5",
        "12 kg",
        "5k",
        "5 / 6",
        "2 for 5",
        "12 34",
        "--5",
        "(5",
        "5)",
        "-(5",
        "1,",
        "1.2.3",
        "1,2,3",
        "1,234,56",
        "1.23.456,7.8",
        "01,234,567",
        "2024-01-01",
        "12:30",
        "10²",
        "½",
        "1٬234",
        "12.5.",
        "5-",
    ],
)
def test_what_is_no_number_is_not_guessed_at(text):
    assert np.isnan(read(text)).all()


def test_no_text_is_no_number():
    assert np.isnan(read(None, None)).all()
    assert read() == []


def test_the_column_decides_how_a_text_with_two_readings_is_read():
    assert read("1,234", "0.50")[0] == 1234
    assert read("1,234", "7,5")[0] == 1.234
    assert read("1.234", "0.50")[0] == 1.234
    assert read("1.234", "7,5", "12")[0] == 1234
    assert read("1.234", "1.234.567")[0] == 1234
    assert read("1.234", "1,234,567.5")[0] == 1.234


def test_without_a_convention_two_readings_are_none():
    for column in (["1,234"], ["1.234"], ["1.234", "12"], ["1.234", "0.5", "0,5"]):
        texts = read_numbers(pa.array(column))
        assert np.isnan(texts.values[0])
        assert texts.ambiguous.tolist() == [True] + [False] * (len(column) - 1)


def test_money_has_two_decimals_unless_the_column_says_otherwise():
    assert read("$1,299", "$899") == [1299, 899]
    assert read("1.299 €", "899 €") == [1299, 899]
    assert read("$3.459", "$3.20") == [3.459, 3.2]


GERMAN, ENGLISH = str.maketrans(",.", ".,"), str.maketrans("", "")
STYLES = {
    "plain": ("{:.2f}", ENGLISH, ""),
    "decimal comma": ("{:.2f}", GERMAN, ""),
    "english": ("{:,.2f}", ENGLISH, ""),
    "german": ("{:,.2f}", GERMAN, ""),
    "french": ("{:,.2f}", str.maketrans(",.", f"{NARROW},"), " €"),
    "swiss": ("{:,.2f}", str.maketrans(",", "’"), " CHF"),
    "swedish": ("{:,.2f}", str.maketrans(",.", f"{NBSP},"), " kr"),
}


@settings(deadline=None, max_examples=100)
@given(
    st.lists(st.integers(-(10**9), 10**9), min_size=1, max_size=30),
    st.sampled_from(sorted(STYLES)),
    st.sampled_from(["", "$", "€ ", "EUR ", "kr. "]),
)
def test_what_was_written_in_one_convention_comes_back(cents, style, before):
    form, table, after = STYLES[style]
    texts = [
        ("-" if each < 0 else "") + before + form.format(abs(each) / 100).translate(table) + after for each in cents
    ]
    assert read(*texts) == pytest.approx([each / 100 for each in cents], rel=1e-12)


@settings(deadline=None, max_examples=100)
@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=20), st.sampled_from([",", "."]), st.integers(0, 4))
def test_a_number_is_right_or_absent_whatever_the_separators(thousandths, decimal, digits):
    """Decimals of any length, thousands or none, one convention a column: never another number than was meant."""
    exact = [round(each / 1000, digits) for each in thousandths]
    swap = GERMAN if decimal == "," else ENGLISH
    grouped = [f"{each:,.{digits}f}".translate(swap) for each in exact]
    plain = [f"{each:.{digits}f}".translate(swap) for each in exact]
    for column in (grouped, plain):
        numbers = np.array(read(*column))
        known = ~np.isnan(numbers)
        # three decimals and nothing else may look like thousands; one convention a column still excludes a wrong number
        assert numbers[known] == pytest.approx(np.array(exact)[known], rel=1e-12)
    assert digits == 3 or digits == 0 or not np.isnan(read(*plain)).any()


@settings(deadline=None, max_examples=150)
@given(st.lists(st.text(alphabet="0123456789.,'-+ €$%()eEkr\u00a0", max_size=12), max_size=12))
def test_no_text_is_read_as_more_or_fewer_digits_than_it_has(texts):
    """Whatever is read as a number holds its digits: dropping separators and zeros leaves the same ones."""
    numbers = read(*texts)
    for text, number in zip(texts, numbers, strict=True):
        if not np.isnan(number) and "e" not in text.lower():
            digits = "".join(character for character in text if character.isdigit()).strip("0")
            written = f"{abs(number):.15f}".replace(".", "").strip("0")
            assert written.startswith(digits[:12])
