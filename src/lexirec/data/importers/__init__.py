"""Importers of public data sets: download, and conversion into the two tables `items` and `interactions`."""
