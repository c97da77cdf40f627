"""What becomes of a SavedModel: checked as it will be served, and converted."""
