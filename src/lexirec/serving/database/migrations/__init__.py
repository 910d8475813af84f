"""Migrations of the service's database, run by `lexirec.serving.database.migration` through alembic."""
