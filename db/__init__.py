"""What is remembered: one SQLite file (or PostgreSQL by URL). Knows core's words, not the mathematics."""
