"""Sample scenes: 200 drawn pictures and their object masks (see README.md)."""
