"""The way to the disk: volumes, segment files, the journal, and what a crash left of them."""
