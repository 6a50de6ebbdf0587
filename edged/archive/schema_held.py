"""Part of the schema: the list of held files that still want their hard link (retain/evidence.py).

Triggers fill it, in the transaction that places or extends a hold, or that indexes a segment or finds its file again:
whoever writes the row, no held file is forgotten (I2). They come last, after the tables they speak of.
"""

HELD = """
-- Held files that still want their hard link (retain/evidence.py). The triggers fill it, whoever writes the row.
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
    INSERT INTO held_due SELECT hold.no, s.camera, s.stream, s.start_us, s.run, s.seq, s.volume
        FROM segment AS s JOIN hold ON hold.no = NEW.hold
        WHERE s.camera = NEW.camera AND s.state = 0
          AND hold.start_us < s.end_us AND (hold.end_us IS NULL OR hold.end_us > s.start_us);
END;
CREATE TRIGGER held_extended AFTER UPDATE OF start_us, end_us ON hold
BEGIN
    INSERT INTO held_due SELECT NEW.no, s.camera, s.stream, s.start_us, s.run, s.seq, s.volume
        FROM hold_camera JOIN segment AS s ON s.camera = hold_camera.camera
        WHERE hold_camera.hold = NEW.no AND s.state = 0
          AND NEW.start_us < s.end_us AND (NEW.end_us IS NULL OR NEW.end_us > s.start_us)
          AND NOT (OLD.start_us < s.end_us AND (OLD.end_us IS NULL OR OLD.end_us > s.start_us));
END;
CREATE TRIGGER held_released AFTER UPDATE OF released_us ON hold WHEN NEW.released_us IS NOT NULL
BEGIN DELETE FROM held_due WHERE hold = NEW.no; END;
"""
