"""Part of the schema: what the ledger must have been told before the index may follow (I2, I3, I10).

The guards of schema.py refuse what is never lawful. What is lawful in its time (a deletion past the floor, a release by
two people, a step of the retention clock) is entered by edged together with its ledger entry; without one somebody
else does it. The entry comes first in the transaction, so that a trigger can look for it. Whoever can write the file
can append an entry too, but then it stands there under the next signed head, and names what was done.
"""

TOLD = """
CREATE TRIGGER hold_release_told BEFORE UPDATE ON hold
BEGIN
    SELECT RAISE(ABORT, 'I2: no entry of the ledger tells of the first release')
        WHERE OLD.release1_by IS NULL AND NEW.release1_by IS NOT NULL AND NOT EXISTS (
            SELECT 1 FROM ledger_topic JOIN ledger ON ledger.seq = ledger_topic.seq
            WHERE ledger_topic.topic = 'hold/' || NEW.id AND ledger.kind = 'hold_release_first');
    SELECT RAISE(ABORT, 'I2: no entry of the ledger tells of the release')
        WHERE OLD.released_us IS NULL AND NEW.released_us IS NOT NULL AND NOT EXISTS (
            SELECT 1 FROM ledger_topic JOIN ledger ON ledger.seq = ledger_topic.seq
            WHERE ledger_topic.topic = 'hold/' || NEW.id AND ledger.kind = 'hold_released');
END;
-- A minute is what edged itself need not tell of (retain/clock.py).
CREATE TRIGGER retention_clock_told BEFORE UPDATE ON retention_clock
WHEN NEW.retention_us - OLD.retention_us > 60000000
    + iif(NEW.boot_id = OLD.boot_id AND NEW.mono_us >= OLD.mono_us, NEW.mono_us - OLD.mono_us, NEW.mono_us)
BEGIN
    SELECT RAISE(ABORT, 'I10: no entry of the ledger tells of that step of the retention clock') WHERE NOT EXISTS (
        SELECT 1 FROM ledger_topic JOIN ledger ON ledger.seq = ledger_topic.seq
        WHERE ledger_topic.topic = 'clock' AND instr(ledger.body, ',"retention_us":' || NEW.retention_us || ',') > 0);
END;
"""
