"""`python -m lexirec.cli` is `lexirec`."""

from lexirec.cli import main

main()
