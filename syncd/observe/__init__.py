"""Logs, metrics, and the named edges at which tests kill the process."""
