"""Bytes in, events out; events in, bytes out. No asyncio, no socket, no mailbox: a protocol here could be driven by anything."""
