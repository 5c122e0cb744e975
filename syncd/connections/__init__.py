"""The road to the mail servers: slots, TLS, one socket with deadlines, and a door for each protocol."""
