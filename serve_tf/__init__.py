"""Checks of SavedModels, and their conversion for other runtimes."""
