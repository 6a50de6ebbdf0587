"""A box that anything may happen to, in any order, and a judge who knows better (I1, I2, I3, I4, I10; hypothesis).

`machine.Box` draws the story from the rules in `happenings` (footage, clocks, disks), `people` (holds, cameras), `life`
(starts, crashes, other laws) and its own (the index lost, the sweep). `controller` puts the real parts together as
edged.app does; `world` has true time, real files and real journals; `oracle`, `ledger_truth` and `laws` judge, and ask
edged for no verdict. Everything but time is real: SQLite, threads, folders, hard links. `turns` lets one thread go at a
time, so that a life told again is the same life (test_twice).

Guards that were taken out, and what the machine said (at most 150 lives each, of one seed or two):

    floor in `deletable`, `past_floor`            the index refuses: I1, younger than its floor (GuardRefused)
    ... and in both triggers of the schema        I1: goes 376 h before its floor of 15 days
    hold in `judge`, `deletable`                  the index refuses: I2, under an evidence hold (GuardRefused)
    vouchers of `clock.advance`                   I1: goes 616 h before its floor of 30 days
    volume identity in `disk.look` and `_unlink`  lies on the disk and is missing from the index
    ledger entry before the unlink                I3: goes without a committed ledger entry
    the hour's record before the unlink           I3: goes before its hour's record names it
    doubt about labels (`counted_end_us`)         I1: goes 112 h before its floor of 90 days
    labels counted anew (`count_anew`)            I1: goes 112 h before its floor of 90 days
    `raise_floors`                                I1: goes 664 h before its floor of 90 days
    an open-ended hold on what is yet to come     I2: goes under hold-1
    `keep = "until-full"`, taken for "floor"      goes, and no article demands it
    the note that footage came late               I4: came late, and the ledger does not say so
    ledger rows cannot be updated                 somebody could UPDATE ledger
    a floor is never lowered                      somebody could UPDATE segment
    holds are never deleted                       somebody could DELETE FROM hold

The identity that `_unlink` asks for once more is beyond it, for nothing happens between the two looks here:
tests/unit/test_retain_sweep.py has that one, "a disk changed between the look and the unlink".

What it does not judge: hours into which nothing was indexed, of which most are; outages; the floor of an earlier,
larger law where the index was lost before an hour's record or a raise told the ledger of it.
"""
