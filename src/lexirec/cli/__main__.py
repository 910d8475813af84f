"""Entry point of `python -m lexirec.cli`, the same as `lexirec`."""

from lexirec.cli import main

main()
