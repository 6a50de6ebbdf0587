"""Part of the schema: the list of held files that still want their hard link (retain/held_list.py).

Triggers note what there is to do, in the transaction that places or extends a hold, or that indexes a segment or finds
its file again: whoever writes the row, no held file is forgotten (I2). A hold notes one span a camera, not each of what
may be millions of files. They come last, after the tables they speak of.
"""

HELD = """
-- Held files that still want their hard link.
CREATE TABLE held_due (
    hold     INTEGER NOT NULL REFERENCES hold (no),
    camera   INTEGER NOT NULL,
    stream   INTEGER NOT NULL,
    start_us INTEGER NOT NULL,
    run      INTEGER NOT NULL,
    seq      INTEGER NOT NULL,
    volume   INTEGER NOT NULL
) STRICT;
CREATE INDEX held_due_volume ON held_due (volume);
-- Spans of holds whose segments are not all in held_due yet: those that end after over_us and begin before before_us.
CREATE TABLE held_unlisted (
    hold      INTEGER NOT NULL REFERENCES hold (no),
    camera    INTEGER NOT NULL,
    over_us   INTEGER NOT NULL,
    before_us INTEGER NOT NULL,
    stream    INTEGER NOT NULL DEFAULT 0,        -- up to here, in the order of segment's key, they are; NULL: none yet
    start_us  INTEGER,
    run       INTEGER,
    seq       INTEGER
) STRICT;
CREATE TRIGGER held_arrival AFTER INSERT ON segment
WHEN EXISTS (SELECT 1 FROM hold_camera WHERE hold_camera.camera = NEW.camera)
BEGIN
    INSERT INTO held_due SELECT hold.no, NEW.camera, NEW.stream, NEW.start_us, NEW.run, NEW.seq, NEW.volume
        FROM hold_camera JOIN hold ON hold.no = hold_camera.hold
        WHERE hold_camera.camera = NEW.camera AND hold.released_us IS NULL
          AND hold.start_us < NEW.end_us AND (hold.end_us IS NULL OR hold.end_us > NEW.start_us);
END;
CREATE TRIGGER held_return AFTER UPDATE OF state ON segment WHEN NEW.state = 0 AND OLD.state <> 0
BEGIN
    INSERT INTO held_due SELECT hold.no, NEW.camera, NEW.stream, NEW.start_us, NEW.run, NEW.seq, NEW.volume
        FROM hold_camera JOIN hold ON hold.no = hold_camera.hold
        WHERE hold_camera.camera = NEW.camera AND hold.released_us IS NULL
          AND hold.start_us < NEW.end_us AND (hold.end_us IS NULL OR hold.end_us > NEW.start_us);
END;
CREATE TRIGGER held_camera AFTER INSERT ON hold_camera
BEGIN
    INSERT INTO held_unlisted (hold, camera, over_us, before_us)
        SELECT no, NEW.camera, start_us, coalesce(end_us, 1 << 62) FROM hold WHERE no = NEW.hold;
END;
-- One microsecond of overlap: a segment of no length lies between what was held and what is held now.
CREATE TRIGGER held_earlier AFTER UPDATE OF start_us ON hold WHEN NEW.start_us < OLD.start_us
BEGIN
    INSERT INTO held_unlisted (hold, camera, over_us, before_us)
        SELECT hold, camera, NEW.start_us, OLD.start_us + 1 FROM hold_camera WHERE hold = NEW.no;
END;
CREATE TRIGGER held_later AFTER UPDATE OF end_us ON hold
WHEN OLD.end_us IS NOT NULL AND (NEW.end_us IS NULL OR NEW.end_us > OLD.end_us)
BEGIN
    INSERT INTO held_unlisted (hold, camera, over_us, before_us)
        SELECT hold, camera, OLD.end_us - 1, coalesce(NEW.end_us, 1 << 62) FROM hold_camera WHERE hold = NEW.no;
END;
-- A release of which no entry tells is taken back (retain/as_told.py).
CREATE TRIGGER held_again AFTER UPDATE OF released_us ON hold
WHEN NEW.released_us IS NULL AND OLD.released_us IS NOT NULL
BEGIN
    INSERT INTO held_unlisted (hold, camera, over_us, before_us)
        SELECT hold, camera, NEW.start_us, coalesce(NEW.end_us, 1 << 62) FROM hold_camera WHERE hold = NEW.no;
END;
CREATE TRIGGER held_released AFTER UPDATE OF released_us ON hold WHEN NEW.released_us IS NOT NULL
BEGIN
    DELETE FROM held_due WHERE hold = NEW.no;
    DELETE FROM held_unlisted WHERE hold = NEW.no;
END;
"""
