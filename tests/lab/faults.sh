# shellcheck shell=bash
# What happens to a host's processes, disk and clock.
#
# Set by `lab`: its name, dir (on the machine's disk), run (gone with the machine's power), here.
# shellcheck disable=SC2154

signal_to() { # index service-or-nothing signal
  case $2 in
    # Of all but its process 1, which may not be signalled from inside and does nothing anyway.
    '') (host_exec "$1" bash -c "kill -$3 -1") ;;
    docker)
      # Its containers run on; what starts and watches them does not.
      service_signal "$1" docker "$3"
      # shellcheck disable=SC2016
      (host_exec "$1" sh -c 'kill "-$1" "$(cat /run/docker/containerd/containerd.pid)"' _ "$3")
      ;;
    *) service_signal "$1" "$2" "$3" ;;
  esac
}

fill_disk() {
  local free
  # Files need blocks for themselves too, so that the last ones are taken one by one.
  free=$( (host_exec "$1" df --output=avail -B1 "$(disk_of "$1")") | tail -1)
  (host_exec "$1" fallocate -l "$free" "$(disk_of "$1")/filler" 2>/dev/null) || true
  (host_exec "$1" dd if=/dev/zero of="$(disk_of "$1")/filler2" bs=4k 2>/dev/null) || true
}

free_disk() { (host_exec "$1" rm -f "$(disk_of "$1")/filler" "$(disk_of "$1")/filler2"); }

slow_disk() { # index writes-a-second
  local group device numbers
  group=$(blkio_group "$1")
  [[ -d $group ]] || fail "there is no blkio cgroup for h$1: this needs cgroup v1"
  device=$(losetup --associated "$dir/h$1/disk.img" --noheadings --output NAME)
  numbers=$(lsblk --noheadings --nodeps --output MAJ:MIN "$device" | tr -d ' ')
  echo "$numbers $2" >"$group/blkio.throttle.write_iops_device"
}

skew_clock() { # index offset
  local library
  library=$(echo /usr/lib/*/faketime/libfaketime.so.1)
  if [[ $2 == 0 ]]; then
    rm -f "$run/h$1/paasd.env"
  else
    [[ -e $library ]] || fail "libfaketime is missing (Debian: faketime)"
    # Of the calendar only: no clock that measures durations ever jumps.
    printf 'LD_PRELOAD=%s\nFAKETIME=%s\nFAKETIME_DONT_FAKE_MONOTONIC=1\n' "$library" "$2" >"$run/h$1/paasd.env"
  fi
  service_stop "$1" paasd
  service_run "$1" paasd
}
