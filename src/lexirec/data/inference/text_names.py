"""Names that columns of texts have, in a dozen languages: titles, makers, categories and descriptions."""

from __future__ import annotations

from functools import cache

from lexirec.data.inference.column_names import names, plain, words_of

_TITLES = names(
    "title name product_name item_name prod_name product_title product_display_name headline"
    " titel titre titulo titolo name_en title_en label"
)
"""Whole names of titles, likeliest first."""
_TITLE_WORDS = names(
    "title name headline label caption heading titel titre titulo titolo tittel tytul judul nome nombre naam navn"
    " namn nimi nazwa nazev nama libelle bezeichnung designation denominazione intitule overskrift otsikko benamning"
    " betegnelse megnevezes baslik isim название наименование заголовок 名 名称 标题 標題 タイトル 이름 제목 상품명"
    " τιτλος όνομα عنوان اسم शीर्षक नाम ชื่อ"
)
"""What the last word of a title's name is, or ends in (`produktname`)."""
_THINGS = names(
    "product products produkt produit producto produto prodotto item movie film song track book game app recipe dish"
    " course article artikel nom nev cim ad adi adı ten ime имя"
)
"""Further last words of titles' names."""
_SUBTITLES = names("subtitle subtitel username filename hostname surname nickname codename pathname lastname firstname")

_BRANDS = names(
    "brand marke marque marca merk varemerke 品牌 ブランド 브랜드 бренд maker make manufacturer hersteller fabricant"
    " fabricante производитель メーカー author authors writer auteur autor autore verfasser 作者 著者 저자 автор artist"
    " artists band interprete kunstler 歌手 developer developers studio director creator composer publisher publishers"
    " verlag editeur 出版社 store shop seller vendor merchant supplier company"
)
"""Words in the names of makers, likeliest first: brand, manufacturer, author, artist, developer, publisher, seller."""
_CATEGORIES = names(
    "categories category genres genre kategorien kategorie categorie categoria kategori kategoria 类别 分类 品类"
    " カテゴリ ジャンル 카테고리 장르 категория жанр product_type_name product_type product_group_name department"
    " tags tag subjects topics topic keywords section aisle class type group"
)
_DESCRIPTIONS = names(
    "description descriptions desc detail_desc beschreibung descripcion descricao descrizione omschrijving beskrivelse"
    " beskrivning popis opis 描述 简介 説明 설명 описание about summary features overview abstract plot synopsis blurb"
    " text content body details bullets bullet"
)
_OTHER = names(
    "id ids code key sku color colour size material pattern appearance user reviewer customer client city state country"
    " region address file image img picture photo thumbnail url link href language lang currency status collection"
    " series season count number price rating score date time year email phone path host segment family sub alt"
    " alternative garment review reviews comment location"
)
"""Words of names that are none of a text field."""
_IGNORED = frozenset(
    names("en eng english de fr es it nl pt ru zh ja ko text txt str string clean cleaned raw full original std x y")
)
"""Last words that say nothing about the role: languages, states of processing, suffixes of a join."""


_FIELDS = {"brand": _BRANDS, "categories": _CATEGORIES, "description": _DESCRIPTIONS}


def rank_of(name: str, ours: str) -> int | None:
    """Return how likely a column of this name is the text field `ours`, 0 for likeliest; None where it is not."""
    whole, words = plain(name), words_of(name)
    if ours == "title":
        usual = _plain(_TITLES)
        return usual.index(whole) if whole in usual else len(usual) if _is_title(whole, words) else None
    usual = _plain(_FIELDS[ours])
    if whole in usual:
        return 2 * usual.index(whole)
    if not set(words).isdisjoint(_OTHER):
        return None
    near = [word.removesuffix("name") or word for word in (words[-2:] if ours == "categories" else words)]
    found = [number for number, each in enumerate(usual) if each in near or (not each.isascii() and each in whole)]
    return 2 * min(found) + 1 if found else None


def _is_title(whole: str, words: list[str]) -> bool:
    while len(words) > 1 and (words[-1] in _IGNORED or words[-1].isdigit()):
        words = words[:-1]
    if not words or words[-1] in _SUBTITLES or _is_of_another(whole, words):
        return False
    titles = _plain(_TITLE_WORDS)
    return words[-1] in _plain(_THINGS) or words[-1].endswith(titles) or any(word in titles for word in words)


def _is_of_another(whole: str, words: list[str]) -> bool:
    """Return whether a name such as `author_name` or `brandname` is that of something else."""
    others = _plain((*_BRANDS, *_CATEGORIES, *_DESCRIPTIONS, *_OTHER))
    compounds = {other + title for other in others for title in _TITLE_WORDS if other.isascii() and title.isascii()}
    return any(word in others or word in compounds for word in words) or any(
        not other.isascii() and other in whole for other in others
    )


@cache
def _plain(usual: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(plain(each) for each in usual)
