"""Checks of SavedModels as TensorFlow Serving loads them, and conversion of them."""
