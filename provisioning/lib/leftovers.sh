# shellcheck shell=bash
# What an installation leaves on the host, found by its label or its name; nothing of another's. Needs steps.sh,
# settings.sh, daemon.sh, account.sh.
# shellcheck disable=SC2154 # setting comes from who sources this

# A dyno's time to end after SIGTERM, as the platform gives it.
dyno_grace=30

stop_containers() { # installation
  local containers
  mapfile -t containers < <(docker ps --all --quiet --filter "label=paas.instance=$1")
  if ((${#containers[@]} == 0)); then return 0; fi
  run_step "Stopping ${#containers[@]} dynos and builds" "see: docker ps --filter label=paas.instance=$1" \
    stop_and_remove "${containers[@]}"
}

stop_and_remove() { # container...
  docker stop --time "$dyno_grace" "$@" >/dev/null
  docker rm --force --volumes "$@" >/dev/null
}

remove_from_docker() { # installation
  local kind found
  for kind in network volume; do
    mapfile -t found < <(docker "$kind" ls --quiet --filter "label=paas.instance=$1")
    if ((${#found[@]})); then
      docker "$kind" rm "${found[@]}" >/dev/null || warn "a $kind is in use by others and stays: ${found[*]}"
    fi
  done
}

# Best while the platform still answers, which then forgets the token, too.
log_out() {
  forget_git_origins
  if [[ ! -x ${setting[prefix]}/bin/paas || -z ${setting[https-port]:-} ]]; then return; fi
  choose_session
  if [[ $(session_api) != "$(api_url)" ]]; then return; fi
  paas logout >/dev/null 2>&1 || warn "the login at $(api_url) stays; remove it with: paas logout"
  remove_if_empty "$(caller_home)/.config/paas"
}

remove_if_empty() { # directory
  rmdir "$1" 2>/dev/null || true
}

remove_unit() {
  local unit_file
  unit_file=/etc/systemd/system/$(daemon_unit)
  if [[ ! -e $unit_file ]]; then return; fi
  systemctl disable "$(daemon_unit)" >/dev/null 2>&1 || true
  rm -f "$unit_file"
  systemctl daemon-reload || true
}

# Only a directory that `up` made its mark in is taken for data.
remove_data() { # directory
  local mounted
  if [[ ! -e $1/provisioning/settings ]]; then
    say "No data to remove in $1"
    return
  fi
  # Deepest first. What is still mounted would be emptied with the rest.
  mapfile -t mounted < <(awk -v under="$1/" 'index($2, under) == 1 { print $2 }' /proc/mounts | sort -r)
  if ((${#mounted[@]})); then
    umount "${mounted[@]}" || fail "something is still mounted below $1" "end what uses it (fuser -vm), then run this again"
  fi
  rm -rf -- "$(dirname "$(public_ca_file)")"
  remove_if_empty "${setting[prefix]}/share/paas"
  rm -rf -- "$1"
  say "Removed $1"
}

# The node's chains and the rules that lead into them, named after its bridge.
remove_firewall_rules() {
  local bridge hook side chain
  bridge=$(bridge_name)
  if ! command -v iptables >/dev/null; then return; fi
  while read -r hook side chain; do
    if ! iptables --wait 10 -nL "$chain" >/dev/null 2>&1; then continue; fi
    while iptables --wait 10 -D "$hook" "$side" "$bridge" -j "$chain" 2>/dev/null; do :; done
    iptables --wait 10 -F "$chain"
    iptables --wait 10 -X "$chain"
    say "Removed the firewall chain $chain"
  done <<<"INPUT -i PAAS-IN-$bridge
DOCKER-USER -i PAAS-FWD-$bridge
DOCKER-USER -o PAAS-TO-$bridge"
}
