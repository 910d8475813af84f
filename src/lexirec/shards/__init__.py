"""Large work in shards: a fixed list of parts, each written whole or not at all, by one process or by many."""
