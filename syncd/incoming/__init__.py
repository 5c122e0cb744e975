"""Mail coming in. The story is `poll.py`; all else is vocabulary for it."""
