# shellcheck shell=bash
# One host: its namespaces, its disk, its power switch.
#
# Set by `lab`: its name, dir (on the machine's disk), run (gone with the machine's power), here.
# shellcheck disable=SC2154

DISK_GB=8

host_pid() { cat "$run/h$1/pid" 2>/dev/null; }

host_is_up() {
  local pid
  pid=$(host_pid "$1") && kill -0 "$pid" 2>/dev/null
}

# Where the host keeps what survives a power loss. Mounted in the host alone; the image is a file, and sparse.
disk_of() { echo "$dir/h$1/disk"; }

host_make() { # index
  mkdir -p "$dir/h$1/disk" "$run/h$1" "$dir/blobs"
  truncate -s "${DISK_GB}G" "$dir/h$1/disk.img"
  mkfs.ext4 -q -m 0 -J size=16 -E lazy_itable_init=1,lazy_journal_init=1 "$dir/h$1/disk.img"
}

# Power on: nothing runs yet but the host's process 1.
host_boot() { # index
  if host_is_up "$1"; then fail "h$1 is up already"; fi
  # The disk of a host that has just lost power is released a moment later.
  await 60 "the disk of h$1 is free" disk_is_free "$1"
  plug_in "$1"
  rm -f "$run/h$1"/*
  if [[ -d /sys/fs/cgroup/blkio ]]; then mkdir -p "$(blkio_group "$1")"; fi
  (
    join_blkio_group "$1"
    exec setsid nsenter --net="/run/netns/$(namespace_of "h$1")" \
      unshare --mount --uts --ipc --pid --fork --propagation private \
      "$here/lab" --name "$name" __init "$1"
  ) </dev/null >>"$dir/h$1/init.log" 2>&1 &
  if ! (await 30 "h$1 boots" test -e "$run/h$1/booted"); then
    tail -n 5 "$dir/h$1/init.log" >&2
    return 1
  fi
}

# shellcheck disable=SC2317
disk_is_free() { [[ -z $(losetup --associated "$dir/h$1/disk.img") ]]; }

# All that runs on a host is in one, so that its disk can be slow for it.
blkio_group() { echo "/sys/fs/cgroup/blkio/paas-lab-$name-h$1"; }

join_blkio_group() {
  if [[ -d $(blkio_group "$1") ]]; then echo "$BASHPID" >"$(blkio_group "$1")/cgroup.procs"; fi
}

# Process 1 of a host. It ends only with the power.
host_init() { # index
  local disk pid
  disk=$(disk_of "$1")
  # The mounted /proc is still the machine's, so this is what the machine calls us.
  read -r pid _ </proc/self/stat
  hostname "h$1"
  mount -o loop "$dir/h$1/disk.img" "$disk"
  mkdir -p "$disk/docker" "$disk/paas/blobs"
  mount --bind "$dir/blobs" "$disk/paas/blobs"
  borrow_images "$disk/docker"
  mount --bind "$dir/hosts" /etc/hosts
  mount --bind "$dir/resolv.conf" "$(readlink -f /etc/resolv.conf)"
  # A /sys of this network, with the machine's cgroups in it; a /run of its own, but for what the lab shares.
  mkdir -p "$dir/h$1/keep-cgroup" "$dir/h$1/keep-run"
  mount --rbind /sys/fs/cgroup "$dir/h$1/keep-cgroup"
  mount -t sysfs sysfs /sys
  mount --move "$dir/h$1/keep-cgroup" /sys/fs/cgroup
  mount --bind "$run/h$1" "$dir/h$1/keep-run"
  mount -t tmpfs -o mode=755 tmpfs /run
  mkdir -p "$run/h$1" /run/lock
  mount --move "$dir/h$1/keep-run" "$run/h$1"
  mount -t proc proc /proc
  sysctl -qw net.ipv4.ip_forward=1
  echo "$pid" >"$run/h$1/pid"
  touch "$run/h$1/booted"
  # Whatever loses its parent becomes a child of this one; bash reaps it while it waits.
  while :; do
    sleep 86400 &
    wait $! || true
  done
}

# Images without their megabytes: the layers are bound from the machine's own Docker, read-only; only what Docker knows
# about them is copied. Layers never change, so that several hosts may use them at once.
borrow_images() { # the host's data root
  local from layer cache
  from=$(cat "$dir/docker-root")
  # Docker hides what is below its data root unless that is a mount already.
  mount --bind "$1" "$1"
  mkdir -p "$1/overlay2/l"
  if [[ ! -d $1/image ]]; then
    mkdir -p "$1/image/overlay2"
    cp -a "$from/image/overlay2/"{distribution,imagedb,repositories.json} "$1/image/overlay2/"
    mkdir -p "$1/image/overlay2/layerdb"
    cp -a "$from/image/overlay2/layerdb/sha256" "$1/image/overlay2/layerdb/"
  fi
  for layer in "$1/image/overlay2/layerdb/sha256"/*/cache-id; do
    cache=$(cat "$layer")
    if [[ ! -d $from/overlay2/$cache/diff ]]; then continue; fi
    mkdir -p "$1/overlay2/$cache/diff" "$1/overlay2/$cache/work"
    find "$from/overlay2/$cache" -maxdepth 1 -type f -exec cp -a {} "$1/overlay2/$cache/" \;
    ln -sfn "../$cache/diff" "$1/overlay2/l/$(cat "$from/overlay2/$cache/link")"
    mount --bind "$from/overlay2/$cache/diff" "$1/overlay2/$cache/diff"
    mount -o remount,bind,ro "$1/overlay2/$cache/diff"
  done
}

host_exec() { # index command...
  local pid
  pid=$(host_pid "$1") || fail "h$1 is off"
  join_blkio_group "$1"
  shift
  exec nsenter --target "$pid" --mount --uts --ipc --net --pid -- "$@"
}

# The plug is pulled: nothing says goodbye, and nobody answers for it.
host_kill() { # index
  local pid
  plug_out "$1"
  if ! pid=$(host_pid "$1"); then return; fi
  kill -9 "$pid" 2>/dev/null || true
  # The kernel writes its disk back first, and that may take a busy machine a while.
  await 60 "h$1 is off" is_gone "$pid"
  rm -f "$run/h$1/pid"
}

# shellcheck disable=SC2317
is_gone() { ! kill -0 "$1" 2>/dev/null; }

# What a host leaves on the machine besides its files.
host_forget() { # index
  local hierarchy
  await 60 "the disk of h$1 is free" disk_is_free "$1"
  for hierarchy in /sys/fs/cgroup /sys/fs/cgroup/*; do
    if [[ ! -d $hierarchy/paas-lab-$name-h$1 ]]; then continue; fi
    await 20 "nothing of h$1 is left in $hierarchy" remove_cgroup "$hierarchy/paas-lab-$name-h$1"
  done
}

# shellcheck disable=SC2317
remove_cgroup() { find "$1" -depth -type d -exec rmdir {} +; }
