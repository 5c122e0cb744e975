"""One module a resource of the contract's section 5."""
