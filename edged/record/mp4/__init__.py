"""Fragmented MP4, written and read back. No files, no clock."""
