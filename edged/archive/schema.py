"""The index's tables, and the guards that repeat in the database what must never fail (I1, I2, I3).

Invariants between files and rows:

- a segment row is a promise that the file was published and durable (the journal line comes after the file's sync);
- a row leaves the table only through ``doomed``: mark + ledger entry in one transaction, unlink, sync, delete the row;
- the journal offset moves in the same transaction as the rows read from it.

The columns of a table without row ids begin with those of its key, in its order: SQLite 3.40 takes others for damaged
(PRAGMA quick_check, NULL value).

Schema steps are append-only: a shipped step is never edited. `user_version` counts the steps applied.
"""

from edged.archive.schema_compared import COMPARED
from edged.archive.schema_fixed import FIXED
from edged.archive.schema_held import HELD
from edged.archive.schema_mirror import MIRROR
from edged.archive.schema_once import ONCE
from edged.archive.schema_outage import OUTAGE
from edged.archive.schema_scrub import SCRUB
from edged.archive.schema_space import SPACE
from edged.archive.schema_told import TOLD

STREAM_NO = {"main": 0, "sub": 1}

SEALED, MISSING, DOOMED = 0, 1, 2  # segment.state

STEP_1 = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;

CREATE TABLE volume (
    no       INTEGER PRIMARY KEY,
    id       TEXT    NOT NULL UNIQUE,
    uuid     TEXT    NOT NULL UNIQUE,
    added_us INTEGER NOT NULL
) STRICT;

-- The roster. `details` is confidential JSON (addresses, stream URL, model, firmware): never leaves this box.
CREATE TABLE camera (
    no                 INTEGER PRIMARY KEY,
    id                 TEXT    NOT NULL UNIQUE,
    name               TEXT    NOT NULL DEFAULT '',
    source             TEXT    NOT NULL CHECK (source IN ('onvif', 'static', 'journal')),
    state              TEXT    NOT NULL CHECK (state IN ('found', 'adopted', 'removed')),
    endpoint_reference TEXT,
    serial             TEXT,
    place              TEXT    NOT NULL CHECK (place IN ('listed', 'other')),
    designations       TEXT    NOT NULL DEFAULT '[]',  -- JSON array, sorted: key_target, guard_service, entertainment
    keep_days          INTEGER NOT NULL DEFAULT 0,     -- a minimum of the owner's own, 0 for none
    keep               TEXT    NOT NULL DEFAULT 'until-full' CHECK (keep IN ('until-full', 'floor')),
    volume             INTEGER REFERENCES volume (no),
    found_us           INTEGER NOT NULL,
    adopted_us         INTEGER,
    removed_us         INTEGER,
    seen_us            INTEGER,
    clock_offset_us    INTEGER,
    details            TEXT    NOT NULL DEFAULT '{}'
) STRICT;
CREATE UNIQUE INDEX camera_endpoint ON camera (endpoint_reference) WHERE endpoint_reference IS NOT NULL;

CREATE TABLE floor (
    no    INTEGER PRIMARY KEY,
    days  INTEGER NOT NULL CHECK (days >= 1),
    rules TEXT    NOT NULL,                      -- JSON array of rule ids
    UNIQUE (days, rules)
) STRICT;

CREATE TABLE segment (
    camera        INTEGER NOT NULL REFERENCES camera (no),
    stream        INTEGER NOT NULL CHECK (stream IN (0, 1)),
    start_us      INTEGER NOT NULL,
    run           INTEGER NOT NULL,
    seq           INTEGER NOT NULL,
    end_us        INTEGER NOT NULL CHECK (end_us >= start_us),
    keep_until_us INTEGER NOT NULL,              -- 00:00 local of day D+N+1; never lowered
    floor         INTEGER NOT NULL REFERENCES floor (no),
    volume        INTEGER NOT NULL REFERENCES volume (no),
    bytes         INTEGER NOT NULL,
    frames        INTEGER NOT NULL,
    keyframes     INTEGER NOT NULL,
    lost          INTEGER NOT NULL,
    codec         TEXT    NOT NULL,
    width         INTEGER NOT NULL,
    height        INTEGER NOT NULL,
    recovered     INTEGER NOT NULL CHECK (recovered IN (0, 1)),
    state         INTEGER NOT NULL CHECK (state IN (0, 1, 2)),
    sha256        BLOB    NOT NULL CHECK (length(sha256) = 32),
    PRIMARY KEY (camera, stream, start_us, run, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX segment_doomed ON segment (camera) WHERE state = 2;

-- What is sealed and present, per camera and volume; kept by trigger, so that nobody counts eleven million rows.
CREATE TABLE total (
    camera   INTEGER NOT NULL,
    stream   INTEGER NOT NULL,
    volume   INTEGER NOT NULL,
    segments INTEGER NOT NULL,
    bytes    INTEGER NOT NULL,
    PRIMARY KEY (camera, stream, volume)
) STRICT, WITHOUT ROWID;
CREATE TRIGGER total_sealed AFTER INSERT ON segment WHEN NEW.state = 0
BEGIN
    INSERT INTO total SELECT NEW.camera, NEW.stream, NEW.volume, 0, 0 WHERE NOT EXISTS (
        SELECT 1 FROM total WHERE camera = NEW.camera AND stream = NEW.stream AND volume = NEW.volume);
    UPDATE total SET segments = segments + 1, bytes = bytes + NEW.bytes
        WHERE camera = NEW.camera AND stream = NEW.stream AND volume = NEW.volume;
END;
CREATE TRIGGER total_state AFTER UPDATE OF state ON segment WHEN (NEW.state = 0) <> (OLD.state = 0)
BEGIN
    UPDATE total SET segments = segments + iif(NEW.state = 0, 1, -1),
                     bytes = bytes + iif(NEW.state = 0, NEW.bytes, -NEW.bytes)
        WHERE camera = NEW.camera AND stream = NEW.stream AND volume = NEW.volume;
END;

-- What was ever recorded, as merged spans: it outlives the segments, so that deleted footage is not a gap.
CREATE TABLE coverage (
    camera   INTEGER NOT NULL REFERENCES camera (no),
    stream   INTEGER NOT NULL,
    start_us INTEGER NOT NULL,
    end_us   INTEGER NOT NULL CHECK (end_us > start_us),
    PRIMARY KEY (camera, stream, start_us)
) STRICT, WITHOUT ROWID;

-- The journal's other lines and the roster's turns, kept to explain gaps. Facts of the recorder itself have camera 0.
CREATE TABLE fact (
    camera   INTEGER NOT NULL,
    stream   INTEGER NOT NULL,
    at_us    INTEGER NOT NULL,
    kind     TEXT    NOT NULL CHECK (kind IN ('stream_up', 'stream_down', 'loss', 'recorder_start', 'recorder_stop',
                                              'adopted', 'removed')),
    detail   TEXT    NOT NULL DEFAULT '',        -- stream_down: code; loss: cause; recorder_*: <recorder>/<run>
    end_us   INTEGER,                            -- loss: its end; stream_down: end of the last good frame stored
    cause    TEXT,
    packets  INTEGER NOT NULL DEFAULT 0,
    frames   INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (camera, stream, at_us, kind, detail)
) STRICT, WITHOUT ROWID;

CREATE TABLE camera_day (
    camera           INTEGER NOT NULL,
    stream           INTEGER NOT NULL,
    day              INTEGER NOT NULL,           -- local civil day of the segment's end, as a proleptic ordinal
    segments         INTEGER NOT NULL,
    bytes            INTEGER NOT NULL,
    frames           INTEGER NOT NULL,
    deleted_segments INTEGER NOT NULL DEFAULT 0,
    deleted_bytes    INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (camera, stream, day)
) STRICT, WITHOUT ROWID;

CREATE TABLE intake (
    volume INTEGER NOT NULL REFERENCES volume (no),
    file   TEXT    NOT NULL,                     -- below the volume
    offset INTEGER NOT NULL,
    PRIMARY KEY (volume, file)
) STRICT, WITHOUT ROWID;

CREATE TABLE hold (
    no          INTEGER PRIMARY KEY,
    id          TEXT    NOT NULL UNIQUE,
    case_ref    TEXT    NOT NULL,
    authority   TEXT    NOT NULL,
    document    TEXT    NOT NULL,
    start_us    INTEGER NOT NULL,
    end_us      INTEGER CHECK (end_us IS NULL OR end_us > start_us),
    placed_by   TEXT    NOT NULL,
    placed_us   INTEGER NOT NULL,
    release1_by TEXT,
    release1_us INTEGER,
    release2_by TEXT,
    released_us INTEGER,
    remind_us   INTEGER,                         -- from when people are reminded of it; a hold never ends by itself
    CHECK ((release1_by IS NULL) = (release1_us IS NULL)),
    CHECK ((release2_by IS NULL) = (released_us IS NULL)),
    CHECK (release2_by IS NULL OR (release1_by IS NOT NULL AND lower(trim(release1_by)) <> lower(trim(release2_by))))
) STRICT;
CREATE TABLE hold_camera (
    camera INTEGER NOT NULL REFERENCES camera (no),
    hold   INTEGER NOT NULL REFERENCES hold (no),
    PRIMARY KEY (camera, hold)
) STRICT, WITHOUT ROWID;

-- One row. The clock that deletion asks (I10): only forward, never ahead of the wall clock.
CREATE TABLE retention_clock (
    one          INTEGER PRIMARY KEY CHECK (one = 1),
    retention_us INTEGER NOT NULL,
    mono_us      INTEGER NOT NULL,
    boot_id      TEXT    NOT NULL,
    wall_us      INTEGER NOT NULL
) STRICT;

CREATE TABLE ledger (
    seq   INTEGER PRIMARY KEY,                   -- 1, 2, 3, ... without holes
    at_us INTEGER NOT NULL,
    kind  TEXT    NOT NULL,
    body  TEXT    NOT NULL,                      -- canonical JSON
    leaf  BLOB    NOT NULL CHECK (length(leaf) = 32)  -- RFC 6962 leaf hash of the entry
) STRICT;
-- Where proofs find entries: a camera's turns, a camera-hour's records and deletions (see archive/ledger.py).
CREATE TABLE ledger_topic (
    topic TEXT    NOT NULL,
    seq   INTEGER NOT NULL REFERENCES ledger (seq),
    PRIMARY KEY (topic, seq)
) STRICT, WITHOUT ROWID;

-- Hashes of complete subtrees of 16, 256, 4096, ... leaves; `number` counts those of one height from 0.
CREATE TABLE ledger_node (
    height INTEGER NOT NULL CHECK (height > 0),
    number INTEGER NOT NULL,
    hash   BLOB    NOT NULL CHECK (length(hash) = 32),
    PRIMARY KEY (height, number)
) STRICT, WITHOUT ROWID;

-- Every head ever signed: a log never signs two that contradict each other.
CREATE TABLE ledger_checkpoint (
    size  INTEGER PRIMARY KEY,
    at_us INTEGER NOT NULL,
    note  TEXT    NOT NULL                       -- C2SP signed note
) STRICT;

-- Which camera-hours still have to be told to the ledger, or told again because something came late. Hours count from
-- 1970 UTC; camera 0 means every camera.
CREATE TABLE hour_due (
    camera INTEGER NOT NULL,
    stream INTEGER NOT NULL,
    hour   INTEGER NOT NULL,
    PRIMARY KEY (camera, stream, hour)
) STRICT, WITHOUT ROWID;
-- Up to which hour, included, each stream has been told without a break.
CREATE TABLE hour_done (
    camera INTEGER NOT NULL REFERENCES camera (no),
    stream INTEGER NOT NULL,
    hour   INTEGER NOT NULL,
    PRIMARY KEY (camera, stream)
) STRICT, WITHOUT ROWID;

-- What MQTT still has to hear. A row goes once the broker has acknowledged it.
CREATE TABLE outbox (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    topic      TEXT    NOT NULL,
    payload    TEXT    NOT NULL,
    latest     INTEGER NOT NULL CHECK (latest IN (0, 1)),  -- 1: only the newest of a topic matters
    created_us INTEGER NOT NULL
) STRICT;
CREATE INDEX outbox_latest ON outbox (topic) WHERE latest = 1;

-- I1, I2: the rule that must never fail, repeated where a late hold or a wrong caller cannot slip past it.
CREATE TRIGGER segment_doom_guard BEFORE UPDATE OF state ON segment WHEN NEW.state = 2 AND OLD.state <> 2
BEGIN
    SELECT RAISE(ABORT, 'I2: the segment is under an evidence hold') WHERE EXISTS (
        SELECT 1 FROM hold_camera JOIN hold ON hold.no = hold_camera.hold
        WHERE hold_camera.camera = NEW.camera AND hold.released_us IS NULL
          AND hold.start_us < NEW.end_us AND (hold.end_us IS NULL OR hold.end_us > NEW.start_us));
    SELECT RAISE(ABORT, 'I1: the segment is younger than its floor')
        WHERE NEW.keep_until_us > coalesce((SELECT retention_us FROM retention_clock), -1);
    -- As archive/deletions.py names it. A trigger may call no function of JSON where the schema is not trusted.
    SELECT RAISE(ABORT, 'I3: no entry of the ledger announces that the segment goes') WHERE NOT EXISTS (
        SELECT 1 FROM ledger_topic JOIN ledger ON ledger.seq = ledger_topic.seq
        WHERE ledger_topic.topic = 'deleted/' || (SELECT id FROM camera WHERE no = NEW.camera)
                || iif(NEW.stream = 0, '/main/', '/sub/') || printf('%010d', NEW.start_us / 3600000000)
          AND ledger.kind = 'segments_deleted'
          AND instr(ledger.body, '[' || (NEW.start_us % 3600000000) || ',' || (NEW.end_us - NEW.start_us)
                || ',' || NEW.run || ',' || NEW.seq || ']') > 0);
END;
CREATE TRIGGER segment_forget_guard BEFORE DELETE ON segment
BEGIN
    SELECT RAISE(ABORT, 'I3: only a doomed segment may be forgotten') WHERE OLD.state <> 2;
    SELECT RAISE(ABORT, 'I2: the segment is under an evidence hold') WHERE EXISTS (
        SELECT 1 FROM hold_camera JOIN hold ON hold.no = hold_camera.hold
        WHERE hold_camera.camera = OLD.camera AND hold.released_us IS NULL
          AND hold.start_us < OLD.end_us AND (hold.end_us IS NULL OR hold.end_us > OLD.start_us));
    SELECT RAISE(ABORT, 'I1: the segment is younger than its floor')
        WHERE OLD.keep_until_us > coalesce((SELECT retention_us FROM retention_clock), -1);
END;
CREATE TRIGGER segment_floor_guard BEFORE UPDATE OF keep_until_us ON segment WHEN NEW.keep_until_us < OLD.keep_until_us
BEGIN
    SELECT RAISE(ABORT, 'I1: a floor is never lowered for existing footage');
END;
CREATE TRIGGER segment_identity_guard BEFORE UPDATE ON segment
WHEN NEW.camera <> OLD.camera OR NEW.stream <> OLD.stream OR NEW.start_us <> OLD.start_us OR NEW.end_us <> OLD.end_us
  OR NEW.run <> OLD.run OR NEW.seq <> OLD.seq OR NEW.bytes <> OLD.bytes OR NEW.sha256 <> OLD.sha256
  OR NEW.volume <> OLD.volume
BEGIN
    SELECT RAISE(ABORT, 'what was recorded is never rewritten');
END;
CREATE TRIGGER segment_intake_guard BEFORE INSERT ON segment
WHEN NEW.keep_until_us < NEW.end_us + coalesce((SELECT days FROM floor WHERE no = NEW.floor), 36525000) * 86400000000
BEGIN
    SELECT RAISE(ABORT, 'I1: the date does not keep the floor it names');
END;
CREATE TRIGGER segment_doomed_birth_guard BEFORE INSERT ON segment WHEN NEW.state = 2
BEGIN
    SELECT RAISE(ABORT, 'I3: a segment is doomed by a ledger entry, never indexed as doomed');
END;
CREATE TRIGGER floor_fixed BEFORE UPDATE ON floor BEGIN SELECT RAISE(ABORT, 'a floor row is never changed'); END;
CREATE TRIGGER floor_kept BEFORE DELETE ON floor BEGIN SELECT RAISE(ABORT, 'a floor row is never deleted'); END;
CREATE TRIGGER camera_kept BEFORE DELETE ON camera
BEGIN SELECT RAISE(ABORT, 'a camera is removed from recording, its row is never deleted'); END;
CREATE TRIGGER camera_identity_guard BEFORE UPDATE ON camera WHEN NEW.no <> OLD.no OR NEW.id <> OLD.id
BEGIN SELECT RAISE(ABORT, 'a camera keeps its id: its footage and holds hang on it'); END;
CREATE TRIGGER camera_held_guard BEFORE UPDATE OF state ON camera
WHEN (NEW.state = 'removed') <> (OLD.state = 'removed')
BEGIN
    SELECT RAISE(ABORT, 'I2: the camera is under an evidence hold') WHERE EXISTS (
        SELECT 1 FROM hold_camera JOIN hold ON hold.no = hold_camera.hold
        WHERE hold_camera.camera = NEW.no AND hold.released_us IS NULL);
END;

CREATE TRIGGER hold_kept BEFORE DELETE ON hold
BEGIN SELECT RAISE(ABORT, 'I2: a hold is released, never deleted'); END;
CREATE TRIGGER hold_camera_kept BEFORE DELETE ON hold_camera
BEGIN SELECT RAISE(ABORT, 'I2: a hold keeps its cameras'); END;
CREATE TRIGGER hold_camera_fixed BEFORE UPDATE ON hold_camera
BEGIN SELECT RAISE(ABORT, 'I2: a hold keeps its cameras'); END;
CREATE TRIGGER hold_release_guard BEFORE UPDATE ON hold
BEGIN
    SELECT RAISE(ABORT, 'I2: a hold never shrinks') WHERE NEW.start_us > OLD.start_us
        OR (OLD.end_us IS NULL AND NEW.end_us IS NOT NULL) OR NEW.end_us < OLD.end_us;
    SELECT RAISE(ABORT, 'I2: a release is by two people, one after the other')
        WHERE NEW.released_us IS NOT NULL AND OLD.released_us IS NULL
          AND (OLD.release1_by IS NULL OR NEW.release1_by <> OLD.release1_by);
    -- The table's CHECK says so too, but a connection may ignore those.
    SELECT RAISE(ABORT, 'I2: one person is not two') WHERE NEW.released_us IS NOT NULL
        AND (NEW.release2_by IS NULL OR lower(trim(NEW.release1_by)) = lower(trim(NEW.release2_by)));
    -- But a release of which the ledger does not tell was none (retain/as_told.py).
    SELECT RAISE(ABORT, 'I2: a release is not undone or rewritten')
        WHERE (OLD.released_us IS NOT NULL
               OR (OLD.release1_by IS NOT NULL
                   AND (NEW.release1_by IS NOT OLD.release1_by OR NEW.release1_us IS NOT OLD.release1_us)))
          AND EXISTS (
            SELECT 1 FROM ledger_topic JOIN ledger ON ledger.seq = ledger_topic.seq
            WHERE ledger_topic.topic = 'hold/' || OLD.id AND ledger.kind IN ('hold_release_first', 'hold_released')
              AND (ledger.kind = 'hold_released' OR OLD.released_us IS NULL));
    SELECT RAISE(ABORT, 'what a hold was placed for is never rewritten')
        WHERE NEW.no <> OLD.no OR NEW.id <> OLD.id OR NEW.case_ref <> OLD.case_ref OR NEW.placed_by <> OLD.placed_by
           OR NEW.placed_us <> OLD.placed_us OR NEW.authority <> OLD.authority OR NEW.document <> OLD.document;
END;

-- But where it was set ahead by somebody else, it is put back to where the ledger saw it.
CREATE TRIGGER retention_clock_forward BEFORE UPDATE ON retention_clock WHEN NEW.retention_us < OLD.retention_us
BEGIN
    SELECT RAISE(ABORT, 'I10: the retention clock only moves forward') WHERE NOT EXISTS (
        SELECT 1 FROM ledger WHERE seq = (SELECT max(seq) FROM ledger_topic WHERE topic = 'clock')
            AND instr(body, ',"retention_us":' || NEW.retention_us || ',') > 0);
END;
CREATE TRIGGER retention_clock_kept BEFORE DELETE ON retention_clock
BEGIN SELECT RAISE(ABORT, 'I10: the retention clock is never reset'); END;

CREATE TRIGGER ledger_append BEFORE INSERT ON ledger
WHEN NEW.seq <> coalesce((SELECT max(seq) FROM ledger), 0) + 1
BEGIN SELECT RAISE(ABORT, 'the ledger has no holes'); END;
CREATE TRIGGER ledger_fixed BEFORE UPDATE ON ledger
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER ledger_kept BEFORE DELETE ON ledger
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER ledger_topic_fixed BEFORE UPDATE ON ledger_topic
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER ledger_topic_kept BEFORE DELETE ON ledger_topic
BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END;
CREATE TRIGGER ledger_node_append BEFORE INSERT ON ledger_node
WHEN NEW.number <> coalesce((SELECT max(number) FROM ledger_node WHERE height = NEW.height), -1) + 1
BEGIN SELECT RAISE(ABORT, 'the ledger''s tree has no holes'); END;
CREATE TRIGGER ledger_node_fixed BEFORE UPDATE ON ledger_node
BEGIN SELECT RAISE(ABORT, 'the ledger''s tree is append-only'); END;
CREATE TRIGGER ledger_node_kept BEFORE DELETE ON ledger_node
BEGIN SELECT RAISE(ABORT, 'the ledger''s tree is append-only'); END;
CREATE TRIGGER ledger_checkpoint_append BEFORE INSERT ON ledger_checkpoint
WHEN NEW.size <= coalesce((SELECT max(size) FROM ledger_checkpoint), 0)
BEGIN SELECT RAISE(ABORT, 'a ledger head is signed once'); END;
CREATE TRIGGER ledger_checkpoint_fixed BEFORE UPDATE ON ledger_checkpoint
BEGIN SELECT RAISE(ABORT, 'a signed ledger head is never rewritten'); END;
CREATE TRIGGER ledger_checkpoint_kept BEFORE DELETE ON ledger_checkpoint
BEGIN SELECT RAISE(ABORT, 'a signed ledger head is never deleted'); END;
"""

STEPS = (STEP_1 + OUTAGE + HELD + COMPARED + SPACE + SCRUB + MIRROR + ONCE + FIXED + TOLD,)
