"""The composition root and the process's life."""
