"""Part of the schema: how far each volume has been read again, and what was found not to be as it was recorded."""

SCRUB = """
-- The last segment of each volume that was read again (prove/scrub.py); a round ends where no further one follows.
CREATE TABLE scrub (
    volume   INTEGER PRIMARY KEY REFERENCES volume (no),
    camera   INTEGER NOT NULL,
    stream   INTEGER NOT NULL,
    start_us INTEGER NOT NULL,
    run      INTEGER NOT NULL,
    seq      INTEGER NOT NULL,
    rounds   INTEGER NOT NULL,
    ended_us INTEGER                             -- of the last whole round
) STRICT;
-- Segments whose file is not what was recorded. The row of the segment, and its hash, stay as they are.
CREATE TABLE altered (
    camera   INTEGER NOT NULL,
    stream   INTEGER NOT NULL,
    start_us INTEGER NOT NULL,
    run      INTEGER NOT NULL,
    seq      INTEGER NOT NULL,
    found_us INTEGER NOT NULL,
    what     TEXT    NOT NULL CHECK (what IN ('altered', 'unreadable', 'gone')),
    PRIMARY KEY (camera, stream, start_us, run, seq)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER altered_forgotten AFTER DELETE ON segment
BEGIN
    DELETE FROM altered WHERE camera = OLD.camera AND stream = OLD.stream AND start_us = OLD.start_us
        AND run = OLD.run AND seq = OLD.seq;
END;
"""
