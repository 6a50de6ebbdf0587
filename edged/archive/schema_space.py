"""Part of the schema: the cameras that are stopped because their volume is full (retain/stops.py)."""

SPACE = """
-- A camera that is not recorded because its volume holds nothing that may go; the row goes when it is recorded again.
CREATE TABLE space_stop (
    camera      INTEGER PRIMARY KEY REFERENCES camera (no),
    volume      INTEGER NOT NULL REFERENCES volume (no),
    since_us    INTEGER NOT NULL,
    bytes_per_s INTEGER NOT NULL                 -- what it wrote before: after a day nobody could measure it any more
) STRICT;
"""
