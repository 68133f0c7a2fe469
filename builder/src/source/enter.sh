#!/usr/bin/env bash
# Runs in the build container before the driver, and only for a commit with submodules: puts them into the source.
#
#   enter COMMAND...
#
# /build/submodules.list has a line per submodule: path, URL and commit, parted by tabs.
set -euo pipefail

job=/tmp/job
fail() {
  printf ' !     %s\n\n !     Push failed\n' "$1"
  jq -n --arg message "$1" '{version: 1, status: "failed", failure: {kind: "source", message: $message, buildpack: null},
    buildpacks: [], release_yaml: "", procfile: null}' >/out/result.json
  exit 11
}

export GIT_TERMINAL_PROMPT=0 GIT_ASKPASS=/bin/true GIT_CONFIG_NOSYSTEM=1 GIT_ALLOW_PROTOCOL=https:http
mkdir -p "$job/source"
for part in /build/*; do
  if [[ $part != /build/source.tar ]]; then ln -s "$part" "$job/"; fi
done
tar -xf /build/source.tar --no-same-owner -C "$job/source" || fail "The source could not be unpacked."
while IFS=$'\t' read -r path url commit; do
  shown=$(sed -E 's#(://)[^/@]*@#\1#' <<<"$url")
  printf -- '-----> Fetching submodule %s from %s\n' "$path" "$shown"
  directory=$job/source/$path
  if [[ $(realpath -m -- "$directory") != "$directory" ]]; then fail "The submodule $path is not inside the source."; fi
  mkdir -p "$directory"
  if ! trouble=$(timeout 300 bash -c '
    set -e
    git init -q "$1"
    cd "$1"
    git fetch -q --depth 1 -- "$2" "$3" 2>/dev/null || git fetch -q -- "$2" "+refs/*:refs/fetched/*"
    git -c advice.detachedHead=false checkout -q "$3"
    if [[ -f .gitmodules ]]; then git submodule update -q --init --recursive --depth 1; fi
    find . -name .git -prune -exec rm -rf {} +
  ' fetch "$directory" "$url" "$commit" 2>&1 </dev/null); then
    tail -n 5 <<<"$trouble" | sed -E 's#(://)[^/@[:space:]]*@#\1#g; s/^/       /'
    fail "Could not fetch submodule $path."
  fi
done </build/submodules.list
PAAS_JOB_DIR=$job exec "$@"
