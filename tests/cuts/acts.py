"""The acts that are cut, by name.

A request (a hold is placed) is there as a whole or not at all, and there for certain once it was acknowledged. What
edged does by itself (a sweep) is brought to its end by the next start, wherever it was cut.
"""

from tests.cuts import acts_archive, acts_holds, acts_record, acts_site

ACTS = acts_holds.ACTS | acts_record.ACTS | acts_archive.ACTS | acts_site.ACTS
