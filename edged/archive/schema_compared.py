"""Part of the schema: which camera-day folders were found equal to the index, and when (archive/reconcile.py).

A row is a promise about a folder's content at the instant of its last change; what is indexed into the folder
afterwards takes the row away, in the transaction that indexes it.
"""

COMPARED = """
CREATE TABLE compared (
    volume      INTEGER NOT NULL REFERENCES volume (no),
    camera      TEXT    NOT NULL,                -- as the folder names it, known or not
    stream      INTEGER NOT NULL,
    day         INTEGER NOT NULL,                -- UTC, since 1970
    changed_ns  INTEGER NOT NULL,                -- the folder's own modification time
    compared_us INTEGER NOT NULL,
    PRIMARY KEY (volume, camera, stream, day)
) STRICT, WITHOUT ROWID;
"""
