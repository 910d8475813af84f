"""Reports: already computed numbers become tables for the terminal, a Markdown page and figures. No torch here."""
