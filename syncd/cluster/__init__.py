"""Who owns a mailbox: leases with a term; one node is the same code with nobody else."""
