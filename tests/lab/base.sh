# shellcheck shell=bash
# What every part of the lab uses.
#
# Set by `lab`: its name, dir (on the machine's disk), run (gone with the machine's power), here.
# shellcheck disable=SC2154

fail() {
  echo "lab: $*" >&2
  exit 1
}

need_root_and_programs() {
  local program
  ((EUID == 0)) || fail "namespaces, mounts and Docker need root"
  for program in ip nft nsenter unshare etcd dockerd docker curl jq mkfs.ext4 losetup openssl; do
    command -v "$program" >/dev/null || fail "$program is missing (Debian: iproute2 nftables util-linux etcd-server docker.io curl jq e2fsprogs mount openssl)"
  done
}

# Tries a command until it succeeds, at most so many seconds.
await() { # seconds what command...
  local deadline=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < deadline)) || fail "it did not come true in time that $what"
    sleep 0.05
  done
}

# Waits for all of these processes; fails if one of them did.
await_all() {
  local process failed=0
  for process in "$@"; do wait "$process" || failed=1; done
  return "$failed"
}

# The numbers of the lab's hosts.
hosts() {
  local count
  count=$(cat "$dir/count" 2>/dev/null || echo 0)
  seq 1 "$count"
}

address_of() { # index, or ctl
  local last=$1
  if [[ $last == ctl ]]; then last=254; fi
  echo "$(cat "$dir/network").$last"
}
