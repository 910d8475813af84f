"""Exports of finished recommenders for others, and checks of what they hold: hub folders, engine folders, figures."""
