import pytest

from lexirec.data.inference.text_names import rank_of

TITLES = [
    *("Title", "name", "Book-Title", "product_title", "itemName", "movie_title", "track_name", "NAME_EN", "prodnavn"),
    *("libelle", "Libellé", "Titel", "nombre", "商品名", "标题", "タイトル", "제목", "название", "наименование товара"),
    *("Titre du film", "título", "Nome Prodotto", "produktname", "Produktbezeichnung", "nom_produit", "nazwa produktu"),
    *("název", "ürün adı", "όνομα προϊόντος", "العنوان", "اسم المنتج", "headline", "primaryTitle", "original_title"),
    *("title_en", "name_1", "title_x", "song", "Product", "app_name", "recipe_name", "course_title", "poi_name"),
    *("displayName", "ItemLabel", "tittel", "namn", "nimi", "nama_produk", "Name (English)", "name:en", "product.name"),
    *("TITLE_TEXT", "title_clean", "PRODUCT_NAME", "SongTitle", "dish_name", "bookTitle", "makeup_title"),
]


@pytest.mark.parametrize("name", TITLES)
def test_names_of_titles(name):
    assert rank_of(name, "title") is not None


@pytest.mark.parametrize(
    "name",
    [
        *("Book-Author", "author_name", "brandname", "store name", "category_name", "product_type_name", "subtitle"),
        *("colour_group_name", "department_name", "user_name", "username", "filename", "image_name", "artist_name"),
        *("作者名", "品牌名称", "tagline", "country_name", "genre_label", "title_id", "name_url", "item_id", "price"),
    ],
)
def test_names_of_other_columns(name):
    assert rank_of(name, "title") is None


def test_the_usual_names_come_first():
    assert rank_of("title", "title") < rank_of("Name", "title") < rank_of("movie_title", "title")


@pytest.mark.parametrize(
    ("ours", "likeliest_first"),
    [
        (
            "brand",
            ["brand", "Marke", "manufacturer_name", "Book-Author", "track_artist", "developer", "Publisher", "store"],
        ),
        ("categories", ["categories", "main_category", "Genres", "product_type_name", "tags", "type"]),
        ("description", ["description", "detail_desc", "Beschreibung", "summary", "overview", "plot", "text"]),
    ],
)
def test_names_have_an_order(ours, likeliest_first):
    ranks = [rank_of(name, ours) for name in likeliest_first]
    assert None not in ranks
    assert ranks == sorted(ranks)


@pytest.mark.parametrize(
    "name", ["author_id", "author_url", "brand_image", "category_id", "store_location", "review_text"]
)
def test_ids_addresses_and_reviews_are_no_text_fields(name):
    assert all(rank_of(name, ours) is None for ours in ("title", "brand", "categories", "description"))
