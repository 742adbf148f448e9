#!/usr/bin/env bash
# Tries the packages of packaging/package.sh where nothing of Glyphscope was: in clean roots of Debian 12, made by mmdebstrap. The .deb is installed, localizes on a
# demo model, opens its window under Xvfb, and is removed without a trace; the archive is unpacked and does the same with no package but Xvfb and an X client's libraries.
# Usage (as root): packaging/try-package.sh SCRATCH [deb|archive]      (mmdebstrap; some 4 GB in SCRATCH)
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
scratch=${1:?where to}
packages=$root/build/release/packages
mkdir -p "$scratch"
say() { printf 'try-package: %s\n' "$*"; }

# Of the folder with the clean root: what there is to run.
in_root() { chroot "$1" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive "${@:2}"; }
clean_root() {
  remove_root "$1"
  mmdebstrap --quiet --variant=apt --include=xvfb,xauth,x11-utils,imagemagick,ca-certificates bookworm "$1" > "$scratch/mmdebstrap.log" 2>&1 || { tail -5 "$scratch/mmdebstrap.log" >&2; exit 1; }
  mount --bind /proc "$1/proc" && mount --bind /dev "$1/dev"
}
# Nothing of the machine's own may be in it when it is removed.
leave_root() {
  local one
  for one in "$1/proc" "$1/dev"; do
    if mountpoint -q "$one"; then umount -l "$one"; fi
    if mountpoint -q "$one"; then say "cannot leave $one"; exit 1; fi
  done
}
remove_root() {
  leave_root "$1"
  rm -rf --one-file-system "$1"
}
only=${2:-both}
trap 'leave_root "$scratch/deb"; leave_root "$scratch/archive"' EXIT

# The main job on a demo model, and the window for some seconds: what is in the middle of its picture must not be one colour.
use() {
  local place=$1 program=$2
  in_root "$place" "$program" localize demo:sign-unet --pairs 2 --out /tmp/run | tail -3
  in_root "$place" "$program" figure /tmp/run/heatmap.png --width 85 --out /tmp/heatmap.pdf
  in_root "$place" bash -c "xvfb-run -a -s '-screen 0 1400x900x24' bash -c '$program & sleep 25; import -window root /tmp/window.png; kill %1'" > "$scratch/window.log" 2>&1 || true
  local colours
  colours=$(in_root "$place" identify -format %k /tmp/window.png)
  [ "$colours" -gt 200 ] || { cat "$scratch/window.log" >&2; say "the window shows nothing: $colours colours"; exit 1; }
  cp "$place/tmp/window.png" "$scratch/$(basename "$place")-window.png"
  say "$(basename "$place"): localized, drew a figure, opened its window ($colours colours)"
}

if [ "$only" != archive ]; then
deb=$(ls "$packages"/*.deb)
clean_root "$scratch/deb"
files() { (cd "$scratch/deb" && find . -xdev \( -path ./proc -o -path ./dev -o -path ./tmp -o -path ./root -o -path ./var/cache -o -path ./var/lib/apt -o -path ./var/lib/dpkg -o -path ./var/log \) -prune -o -print | sort); }
cp "$deb" "$scratch/deb/tmp/"
in_root "$scratch/deb" apt-get -qq update
# What it depends on is installed before, so that what is left after its removal is its own.
depends=$(dpkg-deb -f "$deb" Depends | sed 's/([^)]*)//g; s/|[^,]*//g; s/,/ /g')
in_root "$scratch/deb" apt-get -qq install -y --no-install-recommends $depends > "$scratch/apt.log" 2>&1 || { tail -5 "$scratch/apt.log" >&2; exit 1; }
files > "$scratch/before"
in_root "$scratch/deb" apt-get -qq install -y --no-install-recommends "/tmp/$(basename "$deb")" >> "$scratch/apt.log" 2>&1 || { tail -5 "$scratch/apt.log" >&2; exit 1; }
use "$scratch/deb" glyphscope
in_root "$scratch/deb" bash -c 'zcat /usr/share/man/man1/glyphscope.1.gz | head -1; bash -n /usr/share/bash-completion/completions/glyphscope'
in_root "$scratch/deb" apt-get -qq purge -y glyphscope >> "$scratch/apt.log" 2>&1
files > "$scratch/after"
# Caches of the desktop are rebuilt by Debian's own triggers.
left=$(comm -13 "$scratch/before" "$scratch/after" | grep -vE 'mimeinfo.cache|/share/mime/|icon-theme.cache|/var/cache/|fontconfig|/var/lib/(systemd|dbus)|__pycache__|\.pyc$|ldconfig|/etc/' || true)
[ -z "$left" ] || { say "left after removal:"; echo "$left"; exit 1; }
say "deb: removed without a trace"
remove_root "$scratch/deb"
fi

[ "$only" != deb ] || exit 0
archive=$(ls "$packages"/*.tar.xz)
clean_root "$scratch/archive"
mkdir -p "$scratch/archive/opt"
tar -C "$scratch/archive/opt" -xf "$archive"
use "$scratch/archive" "/opt/$(basename "$archive" .tar.xz)/bin/glyphscope"
remove_root "$scratch/archive"
