#!/usr/bin/env bash
# Installs the Debian packages that the fuller tests use. Without root or apt it says what is missing; the tests that
# need it are then skipped with that reason, and counted.
set -u
declare -A provides=(
  [mosquitto]="command -v mosquitto"
  [mosquitto-clients]="command -v mosquitto_sub"
  [prometheus]="command -v promtool"
  [ffmpeg]="command -v ffmpeg"
  [systemd]="command -v systemd-analyze"
  [iproute2]="command -v ip"
  [python3-gi]="/usr/bin/python3 -c 'import gi'"
  [gir1.2-gst-rtsp-server-1.0]="/usr/bin/python3 -c 'import gi; gi.require_version(\"GstRtspServer\", \"1.0\")'"
  [gstreamer1.0-plugins-base]="gst-inspect-1.0 videotestsrc"
  [gstreamer1.0-plugins-good]="gst-inspect-1.0 rtph264pay"
  [gstreamer1.0-plugins-bad]="gst-inspect-1.0 h264parse"
  [gstreamer1.0-plugins-ugly]="gst-inspect-1.0 x264enc"
  [gstreamer1.0-tools]="command -v gst-inspect-1.0"
  [glib-networking]="/usr/bin/python3 -c 'from gi.repository import Gio; assert Gio.TlsBackend.get_default().supports_tls()'"
  [vlc-bin]="command -v cvlc"
  [vlc-plugin-base]="ls /usr/lib/*/vlc/plugins/stream_out/libstream_out_rtp_plugin.so"
  [chromium]="command -v chromium"
)
missing=()
for package in "${!provides[@]}"; do
  bash -c "${provides[$package]}" >/dev/null 2>&1 || missing+=("$package")
done
[ ${#missing[@]} -eq 0 ] && exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
  echo "missing for the fuller tests, which will be skipped and counted: ${missing[*]}"
  exit 0
fi
echo "installing for the fuller tests: ${missing[*]}"
export DEBIAN_FRONTEND=noninteractive
# A service that starts by itself would occupy the very ports it is tested on.
refuse=/usr/sbin/policy-rc.d
made=
[ -e "$refuse" ] || { printf '#!/bin/sh\nexit 101\n' >"$refuse" && chmod +x "$refuse" && made=1; }
apt-get update -qq >/dev/null 2>&1
apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null 2>&1 ||
  echo "not all of them could be installed; the tests that need them will be skipped and counted"
[ -n "$made" ] && rm -f "$refuse"
exit 0
