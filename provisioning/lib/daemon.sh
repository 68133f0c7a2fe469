# shellcheck shell=bash
# paasd as a unit of systemd where that runs, else as a process of its own. Needs steps.sh, packages.sh, docker.sh,
# settings.sh and $provisioning_dir. With $foreground set it is a process in any case.
# shellcheck disable=SC2154 # setting and provisioning_dir come from who sources this

daemon_state() { echo "${setting[data-dir]}/provisioning"; }
daemon_config() { echo "${setting[data-dir]}/paasd.toml"; }
daemon_log() { echo "$(daemon_state)/paasd.log"; }
# paasd writes it: the process that serves, which changes when one hands over to the next.
daemon_pid_file() { echo "${setting[data-dir]}/paasd.pid"; }
daemon_binary() { echo "${setting[prefix]}/bin/paasd"; }
daemon_unit() { if [[ ${setting[name]} == paas ]]; then echo paasd.service; else echo "paasd-${setting[name]}.service"; fi; }

daemon_is_unit() { [[ -z ${foreground:-} ]] && systemd_runs; }

# The process that runs this installation; nothing when none does. A number alone is no proof: it may belong to
# another program since a reboot.
daemon_pid() {
  local pid
  if daemon_is_unit; then
    pid=$(systemctl show --property MainPID --value "$(daemon_unit)" 2>/dev/null)
  else
    pid=$(cat "$(daemon_pid_file)" 2>/dev/null)
  fi
  if [[ ${pid:-0} != 0 ]] && ! process_is_gone "$pid" &&
    tr '\0' '\n' <"/proc/$pid/cmdline" 2>/dev/null | grep -qxF "$(daemon_config)"; then
    echo "$pid"
  fi
}

# What a running paasd was started from: when this changes, another is to take over.
daemon_stamp() { sha256sum "$(daemon_binary)" "$(daemon_config)" | sha256sum | cut -d' ' -f1; }

daemon_is_current() { [[ -n $(daemon_pid) && $(cat "$(daemon_state)/started" 2>/dev/null) == "$(daemon_stamp)" ]]; }

start_daemon() {
  if daemon_is_unit; then start_unit; else start_process; fi
  daemon_stamp >"$(daemon_state)/started"
}

start_process() {
  local log
  log=$(daemon_log)
  if [[ -e $log && $(stat -c %s "$log") -gt 20000000 ]]; then mv "$log" "$log.1"; fi
  setsid "$(daemon_binary)" server --config "$(daemon_config)" >>"$log" 2>&1 </dev/null 8>&- 9>&- &
  echo $! >"$(daemon_pid_file)"
}

start_unit() {
  write_unit || true
  systemctl enable "$(daemon_unit)"
  # Whether it comes up, and at which try, is for who waits for the API.
  systemctl start --no-block "$(daemon_unit)"
}

# False when nothing has changed.
write_unit() {
  unit_text | write_if_changed "/etc/systemd/system/$(daemon_unit)" 644 || return
  systemctl daemon-reload
}

# The running paasd starts the new one and hands everything over: no request is lost. A new one that cannot start leaves
# the running one as it is.
upgrade_daemon() {
  local before
  before=$(daemon_pid)
  run_step "Upgrading paasd in place (process $before)" "the log says why, and whether it runs on as it was: $(daemon_log_hint)" \
    hand_over "$before"
  daemon_stamp >"$(daemon_state)/started"
}

# A process that has just taken over itself begins when the one before has no request left.
successor_within=75
# One that fails is tried again.
next_within=10

hand_over() { # pid
  local since=$SECONDS patience=$successor_within
  if daemon_is_unit; then
    write_unit || true
  elif [[ $(stat -c %s "$(daemon_log)") -gt 20000000 ]]; then
    # It is appended to, by a process that goes on.
    cp "$(daemon_log)" "$(daemon_log).1"
    : >"$(daemon_log)"
  fi
  kill -HUP "$1"
  while [[ $(daemon_pid) == "$1" ]]; do
    if has_successor "$1"; then
      since=$SECONDS patience=$next_within
    elif ((SECONDS - since > patience)); then
      echo "What was to take over has ended"
      return 1
    fi
    sleep 0.1
  done
  if [[ -z $(daemon_pid) ]]; then
    echo "paasd has ended"
    return 1
  fi
}

has_successor() { # pid
  local child
  while read -r child; do
    if tr '\0' '\n' <"/proc/$child/cmdline" 2>/dev/null | grep -qxF -- --take-over; then return; fi
  done < <(cat "/proc/$1/task"/*/children 2>/dev/null | tr ' ' '\n')
  return 1
}

unit_text() {
  sed -e "s|^ExecStart=.*|ExecStart=$(daemon_binary) server --config $(daemon_config)|" \
    -e "s|^Description=.*|& (${setting[name]})|" "$provisioning_dir/systemd/paasd.service"
}

# Long enough for requests in flight, then by force: a stop always ends.
daemon_stops_within=75

stop_daemon() {
  local pid
  pid=$(daemon_pid)
  if [[ -z $pid ]]; then
    rm -f "$(daemon_pid_file)"
    return 0
  fi
  run_step "Stopping paasd (process $pid)" "kill -9 $pid ends it by force" stop_process "$pid"
  rm -f "$(daemon_pid_file)"
}

stop_process() { # pid
  if daemon_is_unit; then
    timeout $((daemon_stops_within + 15)) systemctl stop "$(daemon_unit)"
    return
  fi
  kill -TERM "$1"
  if ! wait_until "$daemon_stops_within" process_is_gone "$1"; then
    echo "Still there after $daemon_stops_within s: ending it by force"
    kill -KILL "$1"
    wait_until 10 process_is_gone "$1"
  fi
}

daemon_last_lines() {
  if daemon_is_unit; then journalctl --unit "$(daemon_unit)" --lines 20 --no-pager; else tail -n 20 "$(daemon_log)"; fi
}

daemon_log_hint() { if daemon_is_unit; then echo "journalctl -u $(daemon_unit)"; else daemon_log; fi; }
