"""Readers of tables on disk (Parquet, CSV/TSV, JSON Lines) through DuckDB, with row checks."""
