"""The wall of alerts: one per object and cause, with a text that says what to do."""
