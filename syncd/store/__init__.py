"""Everything that must survive: SQLite now, PostgreSQL behind the same seam (`database.py`)."""
