"""Keys and sealed credentials: the only package that knows cryptography."""
