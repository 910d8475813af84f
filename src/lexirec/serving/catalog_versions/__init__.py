"""Versions of a finished recommender's catalogue: staged changes, publishing, differences, going back."""
