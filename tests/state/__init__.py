"""A box that anything may happen to, in any order, and a judge who knows better (I1, I2, I3, I4, I10; hypothesis).

`machine.Box` draws the story from the rules in `happenings` (footage, clocks, disks), `people` (holds, cameras), `life`
(starts, crashes, other laws) and its own (the index lost, the sweep). `controller` puts the real parts together as
edged.app does; `world` has true time, real files and real journals; `oracle`, `ledger_truth` and `laws` judge, and ask
edged for no verdict. Everything but time is real: SQLite, threads, folders, hard links.
"""
