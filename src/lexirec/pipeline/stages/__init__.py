"""Functions of the stages: each reads the folders of its inputs and writes one folder."""
