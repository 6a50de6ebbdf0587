"""The way to the camera: RTSP, RTP over TCP, UDP and TLS. What decides has no sockets; what acts never blocks."""
