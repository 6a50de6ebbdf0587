"""The one memory: SQLite index, volumes, journal intake, coverage, reconciliation, and the ledger's table."""
