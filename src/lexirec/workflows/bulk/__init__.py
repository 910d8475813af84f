"""Recommendations for all users of a shop at once, into Parquet files, by the functions that answer for the service."""
