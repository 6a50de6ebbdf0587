"""Part of the schema: which full files of the ledger's copies were found right, and what they looked like then.

A start believes a file that still looks so, instead of reading all that was ever logged; each is read again from time
to time all the same (prove/mirror.py), because a broken disk changes content and no date.
"""

MIRROR = """
CREATE TABLE mirror_file (
    volume      INTEGER NOT NULL REFERENCES volume (no),
    number      INTEGER NOT NULL,                -- of the file, from 0
    bytes       INTEGER NOT NULL,
    modified_ns INTEGER NOT NULL,
    changed_ns  INTEGER NOT NULL,                -- st_ctime: no program sets it
    inode       INTEGER NOT NULL,
    read_us     INTEGER NOT NULL,                -- when its content was last compared
    PRIMARY KEY (volume, number)
) STRICT, WITHOUT ROWID;
"""
