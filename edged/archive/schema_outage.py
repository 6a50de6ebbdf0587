"""Part of the schema: outages with their reports and history, opened once and never rewritten (I5)."""

OUTAGE = """
CREATE TABLE outage (
    no                   INTEGER PRIMARY KEY,
    id                   TEXT    NOT NULL UNIQUE,
    camera               INTEGER NOT NULL REFERENCES camera (no),
    stream               INTEGER NOT NULL,
    state                TEXT    NOT NULL CHECK (state IN ('outage', 'reported', 'attended', 'restored', 'closed')),
    cause                TEXT    NOT NULL,
    t0_us                INTEGER NOT NULL,       -- end of the last good frame stored
    opened_us            INTEGER NOT NULL,
    report_due_us        INTEGER NOT NULL,
    report_basis         TEXT    NOT NULL,
    attend_within_us     INTEGER NOT NULL,
    attend_basis         TEXT    NOT NULL,
    attend_due_us        INTEGER,                -- from the repair unit's receipt
    attended_us          INTEGER,
    attended_by          TEXT,
    good_since_us        INTEGER,                -- first good frame after T0, while not yet sustained
    restored_us          INTEGER,
    closed_us            INTEGER,
    flaps                INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE UNIQUE INDEX outage_open ON outage (camera, stream) WHERE closed_us IS NULL;
CREATE TABLE outage_report (
    outage      INTEGER NOT NULL REFERENCES outage (no),
    addressee   TEXT    NOT NULL CHECK (addressee IN ('repair_unit', 'superior_department')),
    received_us INTEGER NOT NULL,
    received_by TEXT    NOT NULL,                -- a named person: a delivery alone is not a report
    entered_us  INTEGER NOT NULL,
    PRIMARY KEY (outage, addressee)
) STRICT, WITHOUT ROWID;
CREATE TABLE outage_event (
    outage INTEGER NOT NULL REFERENCES outage (no),
    seq    INTEGER NOT NULL,
    at_us  INTEGER NOT NULL,
    event  TEXT    NOT NULL,
    by     TEXT    NOT NULL DEFAULT '',
    detail TEXT    NOT NULL DEFAULT '',
    PRIMARY KEY (outage, seq)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER outage_deadline_guard BEFORE UPDATE ON outage
WHEN NEW.t0_us <> OLD.t0_us OR NEW.report_due_us <> OLD.report_due_us OR NEW.opened_us <> OLD.opened_us
  OR NEW.no <> OLD.no OR NEW.id <> OLD.id OR NEW.camera <> OLD.camera OR NEW.stream <> OLD.stream
  OR (OLD.attend_due_us IS NOT NULL AND NEW.attend_due_us IS NOT OLD.attend_due_us)
BEGIN SELECT RAISE(ABORT, 'I5: an outage keeps its beginning and its deadlines'); END;
CREATE TRIGGER outage_kept BEFORE DELETE ON outage
BEGIN SELECT RAISE(ABORT, 'I5: an outage is closed, never deleted'); END;
CREATE TRIGGER outage_report_fixed BEFORE UPDATE ON outage_report
BEGIN SELECT RAISE(ABORT, 'I5: a report is entered once per addressee'); END;
CREATE TRIGGER outage_report_kept BEFORE DELETE ON outage_report
BEGIN SELECT RAISE(ABORT, 'I5: a report is entered once per addressee'); END;
CREATE TRIGGER outage_event_fixed BEFORE UPDATE ON outage_event
BEGIN SELECT RAISE(ABORT, 'an outage''s history is append-only'); END;
CREATE TRIGGER outage_event_kept BEFORE DELETE ON outage_event
BEGIN SELECT RAISE(ABORT, 'an outage''s history is append-only'); END;
"""
