"""Every act that changes a disk is killed between any two of its system calls, or loses its power there, and the next
start must put it right (I1, I2, I3, I7).

`acts` tells what is done, `reins` stops it before each call, `album` photographs the box there, `campaign` has a start
look at what each cut left, `picture` says what a box holds and whether it agrees with itself. What was promised by then
is there, what was under way is there as a whole or not at all, and a second start finds nothing left to do.

`python -m tests.cuts` makes every cut of every act by SIGKILL, `--power` those on a disk that forgets what was not
synced. Guards that were taken out, and what it said:

    working name unlinked before the line         "record and seal, then crash again": 2 cuts, a file is there and not
                                                  indexed, for recovery looks back over a stream's last few alone
    links ticked off before they are made         "place a hold": held, and has no second name
    hold.json after the links                     "place a hold, then lose the index": links of a hold nobody knows
    ledger restored, then noted and told          "start without an index", "start with an old index": 6 cuts each,
                                                  retention does not wait for the volumes, LEDGER_RESTORED is not told
    late footage told, then no longer noted       "take in late footage": 3 cuts, it is told twice
    a stop's, a finding's row and entry apart     "stop a camera on a full disk", "find a file sound again": 3 cuts
                                                  each, one of the two alone
    a wrong copy set aside, told without asking   "write an edited copy anew": 2 cuts, MIRROR_REPLACED twice
    a deletion marked without its entry           the index refuses: I3, no entry of the ledger announces it

    and with --power
    commits not synced (synchronous = NORMAL)     "sweep": 102 cuts, files gone that no ledger entry gives a reason
                                                  for; "place a hold": 69 cuts, an acknowledged hold is not there
    folder not synced after the unlinks           "sweep": deleted by the ledger, and there again
    recovery's copy not synced before its rename  "recover without the run counter": 1 cut, half of a segment is lost
                                                  (tests/powercut/test_recovery_cut.py, by more seeds)

What it does not see: that `archive rebuild` moves the index's log before the index (the box stopped in order, so there
is no log), and that placing a hold spares what is doomed in its own transaction (the next sweep would as well).
"""
