"""A box that anything may happen to, in any order, and a judge who knows better (I1, I2, I3, I4, I10; hypothesis).

`machine.Box` draws the story from the rules in `happenings` (footage, clocks, disks), `people` (holds, cameras), `life`
(starts, crashes, other laws) and its own (the index lost, the sweep). `controller` puts the real parts together as
edged.app does; `world` has true time, real files and real journals; `oracle`, `ledger_truth` and `laws` judge, and ask
edged for no verdict. Everything but time is real: SQLite, threads, folders, hard links. `turns` lets one thread go at a
time, so that a life told again is the same life (test_twice).

Guards that were taken out, and what the machine said (150 examples; a time service, holds and disks as drawn):

    floor in `deletable`, `past_floor`            the index refuses: I1, younger than its floor (GuardRefused)
    ... and in both triggers of the schema        I1: goes 256 h before its floor of 30 days
    hold in `judge`, `deletable`                  the index refuses: I2, under an evidence hold (GuardRefused)
    vouchers of `clock.advance`                   I1: goes 150 h before its floor of 30 days
    volume identity in `disk.look` and `_unlink`  lies on the disk and is missing from the index
    ledger entry before the unlink                I3: goes without a committed ledger entry

The identity that `_unlink` asks for once more is beyond it, for nothing happens between the two looks here:
tests/unit/test_retain_sweep.py has that one, "a disk changed between the look and the unlink".

What it does not judge: the floor of an earlier, larger law after the index was lost before an hour's record or a raise
told the ledger of it (no camera-hours are told here; see tests/scenario/test_rebuild.py).
"""
