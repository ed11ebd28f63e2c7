#!/usr/bin/env bash
# Installs the Debian packages that a step needs, and nothing that is already there. Steps: build, test.
set -euo pipefail
build=(g++ cmake ninja-build make pkg-config libsimdjson-dev libfmt-dev libcli11-dev nlohmann-json3-dev libre2-dev libpcre2-dev libedit-dev)
test=(libgtest-dev libgmock-dev librapidcheck-dev libbenchmark-dev python3 python3-venv clang-19 lld-19 clang-format-19 clang-tidy-19 libclang-rt-19-dev libboost-context-dev)

wanted=("${build[@]}")
[ "${1:-build}" != test ] || wanted+=("${test[@]}")
missing=()
for package in "${wanted[@]}"; do
  [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
[ "${#missing[@]}" -gt 0 ] || exit 0

as_root=()
[ "$(id -u)" -eq 0 ] || as_root=(sudo)
echo "Installing: ${missing[*]}"
"${as_root[@]}" apt-get update -qq
DEBIAN_FRONTEND=noninteractive "${as_root[@]}" apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
