"""Part of the schema: what is entered once is never entered over (I1, I2, I5), also not by REPLACE.

SQLite resolves INSERT OR REPLACE and UPDATE OR REPLACE by deleting the rows in the way, and fires delete triggers for
them only where the connection has set recursive_triggers: the guards against DELETE stop no foreign connection. What
runs before an INSERT or UPDATE does, whatever the connection has set. IGNORE where edged itself enters a thing again
(a journal read twice, a ledger carried out again) and the first entering stands; ABORT elsewhere. The ledger's tables
need nothing here: their numbers may only be the next ones. Nor do changes of a key that schema.py refuses already.
"""

ONCE = """
CREATE TRIGGER segment_once BEFORE INSERT ON segment
WHEN EXISTS (SELECT 1 FROM segment WHERE camera = NEW.camera AND stream = NEW.stream AND start_us = NEW.start_us
             AND run = NEW.run AND seq = NEW.seq)
BEGIN SELECT RAISE(IGNORE); END;
CREATE TRIGGER floor_once BEFORE INSERT ON floor
WHEN EXISTS (SELECT 1 FROM floor WHERE no = NEW.no OR (days = NEW.days AND rules = NEW.rules))
BEGIN SELECT RAISE(ABORT, 'I1: a floor is entered once'); END;
CREATE TRIGGER camera_once BEFORE INSERT ON camera
WHEN EXISTS (SELECT 1 FROM camera WHERE no = NEW.no OR id = NEW.id OR endpoint_reference = NEW.endpoint_reference)
BEGIN SELECT RAISE(ABORT, 'a camera is entered once: its footage and holds hang on its row'); END;
CREATE TRIGGER camera_endpoint_once BEFORE UPDATE OF endpoint_reference ON camera
WHEN EXISTS (SELECT 1 FROM camera WHERE endpoint_reference = NEW.endpoint_reference AND no <> OLD.no)
BEGIN SELECT RAISE(ABORT, 'another camera has this endpoint reference'); END;
CREATE TRIGGER hold_once BEFORE INSERT ON hold
WHEN EXISTS (SELECT 1 FROM hold WHERE no = NEW.no OR id = NEW.id)
BEGIN SELECT RAISE(IGNORE); END;
CREATE TRIGGER hold_camera_once BEFORE INSERT ON hold_camera
WHEN EXISTS (SELECT 1 FROM hold_camera WHERE camera = NEW.camera AND hold = NEW.hold)
BEGIN SELECT RAISE(IGNORE); END;
CREATE TRIGGER retention_clock_once BEFORE INSERT ON retention_clock WHEN EXISTS (SELECT 1 FROM retention_clock)
BEGIN SELECT RAISE(ABORT, 'I10: the retention clock is begun once'); END;
CREATE TRIGGER outage_once BEFORE INSERT ON outage
WHEN EXISTS (SELECT 1 FROM outage WHERE no = NEW.no OR id = NEW.id)
  OR (NEW.closed_us IS NULL AND EXISTS (
        SELECT 1 FROM outage WHERE camera = NEW.camera AND stream = NEW.stream AND closed_us IS NULL))
BEGIN SELECT RAISE(ABORT, 'I5: an outage is opened once'); END;
CREATE TRIGGER outage_reopened BEFORE UPDATE OF closed_us ON outage
WHEN OLD.closed_us IS NOT NULL AND NEW.closed_us IS NOT OLD.closed_us
BEGIN SELECT RAISE(ABORT, 'I5: an outage that is closed stays closed'); END;
CREATE TRIGGER outage_report_once BEFORE INSERT ON outage_report
WHEN EXISTS (SELECT 1 FROM outage_report WHERE outage = NEW.outage AND addressee = NEW.addressee)
BEGIN SELECT RAISE(ABORT, 'I5: a report is entered once per addressee'); END;
CREATE TRIGGER outage_event_once BEFORE INSERT ON outage_event
WHEN EXISTS (SELECT 1 FROM outage_event WHERE outage = NEW.outage AND seq = NEW.seq)
BEGIN SELECT RAISE(ABORT, 'an outage''s history is append-only'); END;
"""
