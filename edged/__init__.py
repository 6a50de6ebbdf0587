"""edged: a recorder controller that keeps a legal minimum, proves it, and runs the legal clocks.

The order of the stations, the words and the invariants I1-I10 stand in README.md.
"""

__version__ = "0.1.0"
