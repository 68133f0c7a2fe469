# shellcheck shell=bash
# A Docker daemon: the one that runs, else one started here. Needs steps.sh and packages.sh.

docker_log=${PAAS_DOCKERD_LOG:-/var/log/paas-dockerd.log}
# There only while a daemon runs that `start_docker` started without systemd.
docker_pid_file=${PAAS_DOCKERD_PID_FILE:-/run/paas-dockerd.pid}

docker_answers() { timeout 10 docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

# Packages for Docker and for what the platform asks of it.
need_docker() {
  need_program dockerd docker.io
  # Debian 13 has the client in a package of its own.
  if ! command -v docker >/dev/null && apt-cache show docker-cli >/dev/null 2>&1; then packages_missing+=(docker-cli); fi
  need_program iptables iptables
  if [[ $(cat /sys/module/apparmor/parameters/enabled 2>/dev/null) == Y ]]; then need_program apparmor_parser apparmor; fi
}

start_docker() {
  if docker_answers; then
    say "Docker $(docker version --format '{{.Server.Version}}') is running"
    return
  fi
  if systemd_runs; then
    run_step "Starting Docker" "look at: journalctl -u docker" systemctl enable --now docker
    wait_until 60 docker_answers || fail "Docker does not answer after 60 s" "look at: journalctl -u docker"
    return
  fi
  run_step "Starting Docker (log: $docker_log)" \
    "read $docker_log; Docker needs root, iptables, and the memory and pids cgroups" start_dockerd
}

start_dockerd() {
  ensure_cgroups
  prefer_working_iptables
  forget_stale_pid /var/run/docker.pid
  mkdir -p "$(dirname "$docker_log")"
  # Nothing of ours may stay open in a daemon: not the terminal, not the lock.
  PATH=$PATH:/usr/sbin:/sbin setsid dockerd >>"$docker_log" 2>&1 </dev/null 8>&- 9>&- &
  local pid=$!
  echo "$pid" >"$docker_pid_file"
  local deadline=$((SECONDS + 60))
  until docker_answers; do
    if ! kill -0 "$pid" 2>/dev/null || ((SECONDS >= deadline)); then
      tail -n 20 "$docker_log"
      kill "$pid" 2>/dev/null || true
      rm -f "$docker_pid_file"
      return 1
    fi
    sleep 0.2
  done
}

# Without an init that mounts them there are no cgroups, and Docker would not start.
ensure_cgroups() {
  if [[ -e /sys/fs/cgroup/cgroup.controllers || -e /sys/fs/cgroup/memory/cgroup.procs ]]; then return; fi
  echo "Mounting the cgroup file systems"
  if mount -t cgroup2 cgroup2 /sys/fs/cgroup && grep -qw memory /sys/fs/cgroup/cgroup.controllers; then return; fi
  umount /sys/fs/cgroup 2>/dev/null || true
  mount -t tmpfs -o mode=755 cgroup /sys/fs/cgroup
  local controller _hierarchy _groups enabled
  while read -r controller _hierarchy _groups enabled; do
    if [[ $enabled != 1 ]]; then continue; fi
    mkdir -p "/sys/fs/cgroup/$controller"
    mount -t cgroup -o "$controller" cgroup "/sys/fs/cgroup/$controller"
  done </proc/cgroups
}

# Some kernels lack what Debian's default iptables asks of them, but have what its older form asks.
prefer_working_iptables() {
  if iptables -nL >/dev/null 2>&1; then return; fi
  if iptables-legacy -nL >/dev/null 2>&1; then
    echo "This kernel has no nftables: choosing iptables-legacy"
    update-alternatives --set iptables /usr/sbin/iptables-legacy
    update-alternatives --set ip6tables /usr/sbin/ip6tables-legacy || true
  fi
}

# A pid file from before a crash, whose number belongs to nobody or to another program.
forget_stale_pid() { # file
  local pid
  pid=$(cat "$1" 2>/dev/null) || return 0
  if [[ $(cat "/proc/$pid/comm" 2>/dev/null) != dockerd ]]; then rm -f "$1"; fi
}

# Stops the daemon `start_dockerd` started; any other one, and one that others use, is left alone.
stop_docker() {
  local pid others
  pid=$(cat "$docker_pid_file" 2>/dev/null) || {
    say "Docker was not started by provisioning/up: left alone"
    return
  }
  if [[ $(cat "/proc/$pid/comm" 2>/dev/null) != dockerd ]]; then
    rm -f "$docker_pid_file"
    say "Docker is not running"
    return
  fi
  others=$(docker ps --quiet 2>/dev/null | wc -l)
  if ((others > 0)); then
    warn "Docker is left running: $others containers still run on it (docker ps)"
    return
  fi
  kill -TERM "$pid"
  wait_until 60 process_is_gone "$pid" || fail "Docker (process $pid) does not stop" "read $docker_log; kill -9 $pid ends it by force"
  rm -f "$docker_pid_file"
  say "Docker is stopped"
}

# A zombie has ended too: its parent only has not asked yet.
process_is_gone() { # pid
  [[ ! -e /proc/$1 || $(sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' "/proc/$1/status" 2>/dev/null) == Z ]]
}
