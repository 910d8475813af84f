"""The service's database, SQLite or PostgreSQL: events, users, impressions, keys and models behind one writer thread.

`lexirec.serving.database.opening.open_database` opens it; every write returns a future that resolves after the commit.
"""
