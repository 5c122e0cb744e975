"""When: the heap of due mailboxes, the woken dispatcher."""
