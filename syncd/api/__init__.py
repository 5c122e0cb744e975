"""The daemon's HTTP side: routes over the local socket."""
