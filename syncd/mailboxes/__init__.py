"""What may happen to a mailbox: health, lifecycle, status, and how it explains itself."""
