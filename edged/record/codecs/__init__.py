"""Codecs: RTP payloads to whole frames, and what their headers say. No sockets, no clock."""
