# shellcheck shell=bash
# What runs on a host: etcd, docker and paasd, each started again when it ends, as by systemd.
#
# Set by `lab`: its name, dir (on the machine's disk), run (gone with the machine's power), here.
# shellcheck disable=SC2154

ETCD_MEMBERS=3

members() {
  local count
  count=$(cat "$dir/count")
  if ((count >= ETCD_MEMBERS)); then echo $ETCD_MEMBERS; else echo 1; fi
}

has_service() { # index service
  [[ $2 != etcd ]] || (($1 <= $(members)))
}

host_run_services() { # index
  local service
  for service in etcd docker paasd; do
    if has_service "$1" "$service"; then service_run "$1" "$service"; fi
  done
}

# The command line of a service, as text for the host's shell.
command_of() { # index service
  local index=$1 disk
  disk=$(disk_of "$index")
  case $2 in
    # Its configuration is by provisioning/etcd.
    etcd) echo "etcd --config-file $disk/paas/etcd/etcd.yaml" ;;
    docker)
      echo "dockerd --host unix:///run/docker.sock --host unix://$run/h$index/docker.sock --data-root $disk/docker --exec-root /run/docker" \
        "--pidfile /run/docker.pid --config-file $dir/docker.json --storage-driver overlay2" \
        "--exec-opt native.cgroupdriver=cgroupfs --cgroup-parent /paas-lab-$name-h$index" \
        "--bip 172.30.0.1/24 --mtu $MTU --live-restore"
      ;;
    paasd) echo "$bin/paasd server --config $(config_of "$index")" ;;
    *) fail "there is no service $2: etcd, docker or paasd" ;;
  esac
}

service_run() { # index service
  local run_dir=$run/h$1 log=$dir/h$1/$2.log command
  command=$(command_of "$1" "$2")
  rm -f "$run_dir/$2.stopped"
  # It belongs to the host's process 1 once we have gone. Its number is the host's own.
  # shellcheck disable=SC2016
  (host_exec "$1" setsid bash -c '
    run_dir=$1 service=$2 command=$3
    # One that runs already is not started a second time.
    if [[ -s $run_dir/$service.pid ]]; then
      tail --pid "$(cat "$run_dir/$service.pid")" --sleep-interval 0.2 --follow /dev/null
      rm -f "$run_dir/$service.pid"
    fi
    while [[ ! -e $run_dir/$service.stopped ]]; do
      # Read each time: the lab changes it between two starts.
      set -a; if [[ -e $run_dir/$service.env ]]; then . "$run_dir/$service.env"; fi; set +a
      $command & echo $! >"$run_dir/$service.pid"
      wait $! || true
      rm -f "$run_dir/$service.pid"
      sleep 0.5
    done' _ "$run_dir" "$2" "$command" </dev/null >>"$log" 2>&1) &
  await 20 "$2 of h$1 is started" test -s "$run_dir/$2.pid"
}

service_crash() { # index service
  # It may be on its way up after the last time.
  await 20 "$2 of h$1 runs" test -s "$run/h$1/$2.pid"
  service_signal "$1" "$2" KILL
}

# Sends a signal by the host's own process number.
service_signal() { # index service signal
  local pid
  pid=$(cat "$run/h$1/$2.pid" 2>/dev/null) || fail "$2 of h$1 does not run"
  (host_exec "$1" kill "-$3" "$pid")
}

service_stop() { # index service
  local pid
  touch "$run/h$1/$2.stopped"
  if ! pid=$(cat "$run/h$1/$2.pid" 2>/dev/null); then return; fi
  service_signal "$1" "$2" TERM
  await 60 "$2 of h$1 ends" service_is_gone "$1" "$pid"
}

# shellcheck disable=SC2317
service_is_gone() { ! (host_exec "$1" kill -0 "$2"); }

service_state() { # index service
  local pid state
  pid=$(cat "$run/h$1/$2.pid" 2>/dev/null) || { echo off; return; }
  state=$( (host_exec "$1" sed -n 's/^State:\t\(.\).*/\1/p' "/proc/$pid/status") 2>/dev/null || true)
  case $state in
    '') echo off ;;
    T) echo paused ;;
    *) echo up ;;
  esac
}
