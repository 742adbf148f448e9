#!/usr/bin/env bash
# Makes packages of Glyphscope: a .deb for Debian 12, and an archive that runs from any folder on a system with glibc 2.36 or newer, without setting anything up.
# Both compute on the CPU. Usage: packaging/package.sh [deb] [archive]      (default: both; results are in build/release/packages)
# packaging/try-package.sh installs and runs them in a clean root.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
wanted="${*:-deb archive}"
for tool in patchelf dpkg-shlibdeps; do
  command -v $tool > /dev/null || { echo "package: $tool is missing: apt-get install patchelf dpkg-dev" >&2; exit 2; }
done
packaging/setup.sh
cmake --preset release > /dev/null
cmake --build --preset release --target glyphscope glyphscope-main
out=build/release/packages
mkdir -p "$out"

make_deb() {
  rm -f "$out"/*.deb
  (cd build/release && cpack -G DEB > packages/cpack.log) || { tail -5 "$out/cpack.log" >&2; exit 1; }
}

# All that the program loads, but the C library. Of graphics it is libglvnd, which finds the system's driver.
make_archive() {
  local version name stage
  version=$(build/release/glyphscope --version | grep -oE '[0-9]+\.[0-9]+\.[0-9]+' | head -1)
  name=glyphscope-$version-linux-x86_64
  stage=$out/stage/$name
  rm -rf "$out/stage" "$out"/*.tar.xz
  DESTDIR= cmake --install build/release --prefix "$root/$stage" > /dev/null
  local lib=$stage/lib/glyphscope/lib plugins=/usr/lib/x86_64-linux-gnu/qt6/plugins
  mkdir -p "$stage/lib/glyphscope/plugins"
  cp -r "$plugins"/{platforms,xcbglintegrations,imageformats,platforminputcontexts,platformthemes} "$stage/lib/glyphscope/plugins/" 2> /dev/null || true  # not all are on every machine
  [ -e "$stage/lib/glyphscope/plugins/platforms/libqxcb.so" ] || { echo "package: Qt's plugin for X11 is missing" >&2; exit 1; }
  rm -f "$stage"/lib/glyphscope/plugins/platforms/libq{eglfs,linuxfb,vkkhrdisplay,vnc,minimalegl}*
  printf '[Paths]\nPlugins = ../plugins\n' > "$stage/lib/glyphscope/bin/qt.conf"
  # Of everything that is there, until nothing new is needed.
  find "$stage" -type f \( -name '*.so*' -o -name glyphscope-main \) -print0 | xargs -0 ldd 2> /dev/null | awk '$3 ~ /^\// { print $3 }' | sort -u |
    grep -vE '/(ld-linux[^/]*|lib(c|m|dl|rt|pthread|resolv|util|anl|BrokenLocale|nss_[a-z]*)[.]so[.0-9]*)$' |
    while read -r one; do
      [ -e "$lib/$(basename "$one")" ] || cp -L "$one" "$lib/"
    done
  for one in "$lib"/*.so*; do patchelf --force-rpath --set-rpath '$ORIGIN' "$one" 2> /dev/null || true; done
  for one in "$stage"/lib/glyphscope/plugins/*/*.so; do patchelf --force-rpath --set-rpath '$ORIGIN/../../lib' "$one"; done
  tar -C "$out/stage" --owner=0 --group=0 --sort=name -cf - "$name" | xz -T2 -3 > "$out/$name.tar.xz"
  rm -rf "$out/stage"
}

for one in $wanted; do
  case $one in
    deb) make_deb ;;
    archive) make_archive ;;
    *) echo "package: there is no '$one'; there are deb and archive" >&2; exit 2 ;;
  esac
done
ls -lh "$out" | awk 'NR > 1 && $NF ~ /deb$|xz$/ { print $5, $NF }'
