"""Mail going out. The story is `send.py`; all else is vocabulary for it."""
