"""The workbench and the shop front: their pages, and the figures that only they need."""
