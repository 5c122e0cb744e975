"""Knowledge as data: what servers say and what it means."""
