"""What could not be taken."""
