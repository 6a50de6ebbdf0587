"""Part of the schema: what footage hangs on and nothing ever changes: its volume, its floor's number, its journal.

A row of `volume` that goes, or becomes another's, takes the segments on it out of sight; a floor's number that is too
high hides a segment from whoever raises floors; a journal read again brings back what was lawfully deleted. Each would
change what is kept without touching a date.
"""

FIXED = """
-- The floors that a camera's footage has, or had: what raises floors looks here instead of through millions of rows.
CREATE TABLE camera_floor (
    camera INTEGER NOT NULL REFERENCES camera (no),
    floor  INTEGER NOT NULL REFERENCES floor (no),
    PRIMARY KEY (camera, floor)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER camera_floor_given AFTER INSERT ON segment
WHEN NOT EXISTS (SELECT 1 FROM camera_floor WHERE camera = NEW.camera AND floor = NEW.floor)
BEGIN INSERT INTO camera_floor VALUES (NEW.camera, NEW.floor); END;
CREATE TRIGGER camera_floor_changed AFTER UPDATE OF floor ON segment
WHEN NOT EXISTS (SELECT 1 FROM camera_floor WHERE camera = NEW.camera AND floor = NEW.floor)
BEGIN INSERT INTO camera_floor VALUES (NEW.camera, NEW.floor); END;
CREATE TRIGGER camera_floor_fixed BEFORE UPDATE ON camera_floor
BEGIN SELECT RAISE(ABORT, 'I1: the floors of footage are entered with it'); END;
-- It stays, without a word, while footage has it: so nobody who forgets it has to look first.
CREATE TRIGGER camera_floor_kept BEFORE DELETE ON camera_floor
WHEN EXISTS (SELECT 1 FROM segment WHERE camera = OLD.camera AND floor = OLD.floor)
BEGIN SELECT RAISE(IGNORE); END;
CREATE TRIGGER segment_floor_named BEFORE UPDATE OF floor ON segment
BEGIN
    SELECT RAISE(ABORT, 'I1: the date does not keep the floor it names') WHERE NEW.keep_until_us
        < NEW.end_us + coalesce((SELECT days FROM floor WHERE no = NEW.floor), 36525000) * 86400000000;
    SELECT RAISE(ABORT, 'I1: a floor is never lowered for existing footage')
        WHERE (SELECT days FROM floor WHERE no = NEW.floor) < (SELECT days FROM floor WHERE no = OLD.floor);
END;
CREATE TRIGGER volume_once BEFORE INSERT ON volume
WHEN EXISTS (SELECT 1 FROM volume WHERE no = NEW.no OR id = NEW.id OR uuid = NEW.uuid)
BEGIN SELECT RAISE(IGNORE); END;
CREATE TRIGGER volume_fixed BEFORE UPDATE ON volume
BEGIN SELECT RAISE(ABORT, 'a volume keeps its identity: its footage hangs on it'); END;
CREATE TRIGGER volume_kept BEFORE DELETE ON volume
BEGIN SELECT RAISE(ABORT, 'a volume is never deleted: its footage hangs on it'); END;
CREATE TRIGGER intake_once BEFORE INSERT ON intake
WHEN EXISTS (SELECT 1 FROM intake WHERE volume = NEW.volume AND file = NEW.file)
BEGIN SELECT RAISE(ABORT, 'I3: a journal is begun once'); END;
CREATE TRIGGER intake_forward BEFORE UPDATE ON intake
WHEN NEW.volume <> OLD.volume OR NEW.file <> OLD.file OR NEW.offset < OLD.offset
BEGIN SELECT RAISE(ABORT, 'I3: what was read of a journal is not read again'); END;
CREATE TRIGGER intake_kept BEFORE DELETE ON intake
BEGIN SELECT RAISE(ABORT, 'I3: what was read of a journal is not read again'); END;
CREATE TRIGGER camera_found_guard BEFORE UPDATE OF state ON camera WHEN NEW.state = 'found' AND OLD.state <> 'found'
BEGIN SELECT RAISE(ABORT, 'a camera that was adopted is removed, never merely found again'); END;
"""
