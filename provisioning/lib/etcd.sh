# shellcheck shell=bash
# This host's member of etcd: its configuration, its process, its place in the cluster. Needs steps.sh, packages.sh,
# docker.sh and settings.sh (for write_if_changed).

declare -A member=()
# https, or http with --clear.
scheme=https
etcd_unit=paas-etcd.service

export ETCDCTL_API=3

# A value of paasd's configuration, which is TOML with one setting to a line; nothing when it is not there.
configured() { # key [section]
  awk -v key="$1" -v section="${2:-}" '
    /^[[:space:]]*\[/ { gsub(/[][[:space:]]/, ""); now = $0; next }
    {
      line = $0; sub(/[[:space:]]*#.*$/, "", line)
      name = line; sub(/[[:space:]]*=.*/, "", name); gsub(/[[:space:]]/, "", name)
      if (line !~ /=/) next
      if ((now == section && name == key) || (now == "" && section != "" && name == section "." key)) {
        sub(/^[^=]*=[[:space:]]*/, "", line); gsub(/^"|"[[:space:]]*$/, "", line); print line; exit
      }
    }' "${member[config]}" 2>/dev/null
}

settle_member() {
  : "${member[config]:=/var/lib/paas/paasd.toml}"
  : "${member[data-dir]:=$(configured data_dir)}"
  : "${member[data-dir]:=/var/lib/paas}"
  : "${member[address]:=$(configured address node)}"
  : "${member[name]:=$(configured name node)}"
  : "${member[name]:=$(cat /proc/sys/kernel/hostname)}"
  : "${member[client-port]:=2379}"
  : "${member[peer-port]:=2380}"
  : "${member[paasd]:=paasd}"
  etcd_dir=${member[data-dir]}/etcd
  # shellcheck disable=SC2034 # for steps.sh
  steps_log_dir=$etcd_dir/logs
  authority=${member[data-dir]}/identity/authority.pem
  identity=${member[data-dir]}/identity/host.pem
  if [[ -z ${member[address]} ]]; then
    fail "it is not known where other hosts reach this one" "give --address, or set node.address in ${member[config]}"
  fi
  client_url=$scheme://$(in_brackets "${member[address]}"):${member[client-port]}
  peer_url=$scheme://$(in_brackets "${member[address]}"):${member[peer-port]}
}

in_brackets() { if [[ $1 == *:* && $1 != \[* ]]; then echo "[$1]"; else echo "$1"; fi; }

# etcd cannot start without a certificate. A host that joined has one; the first host of a platform makes its own.
need_identity() {
  if [[ $scheme == http || -e $identity ]]; then return; fi
  if [[ $1 != first ]]; then
    fail "this host has no certificate ($identity)" "join it with a token first: paas nodes:token, provisioning/join TOKEN"
  fi
  run_step "Making this host's certificate" "the message above says what is wrong" \
    "${member[paasd]}" identity --config "${member[config]}"
}

# The members that this host knows of, for etcdctl; without itself while it does not run.
endpoints() {
  local known host list=''
  known=${member[from]:-}
  if [[ -z $known ]]; then
    known=$(configured store)
    known=${known#etcd*://}
    if [[ $known == embedded ]]; then known=''; fi
    if [[ -e $etcd_dir/members ]]; then known+=,$(cat "$etcd_dir/members"); fi
    # By paasd.
    if [[ -e ${member[data-dir]}/etcd-members ]]; then known+=,$(paste -sd, "${member[data-dir]}/etcd-members"); fi
  fi
  for host in ${known//,/ }; do
    host=${host#*://}
    if [[ $host != *:* || $host == *']' ]]; then host+=:2379; fi
    list+=,$scheme://$host
  done
  if [[ -n $(member_pid) ]]; then list=,$client_url$list; fi
  echo "${list#,}"
}

etcdctl_at() { # endpoints arguments...
  local at=$1 tls=()
  shift
  if [[ $scheme == https ]]; then tls=(--cacert "$authority" --cert "$identity" --key "$identity"); fi
  etcdctl --endpoints "$at" "${tls[@]}" --command-timeout 10s "$@"
}

# The cluster's members: id, started or not, name, peer addresses, client addresses, whether it learns; one to a line.
list_members() {
  local at
  at=$(endpoints)
  if [[ -z $at ]]; then fail "no member of etcd is known" "name one with --from HOST:PORT"; fi
  etcdctl_at "$at" member list
}

# Kept for the next run: the configuration may name members that are gone by then.
remember_members() {
  list_members | awk -F', ' '$5 != "" { split($5, urls, ","); sub(/^[a-z]+:\/\//, "", urls[1]); print urls[1] }' |
    paste -sd, | write_if_changed "$etcd_dir/members" 600 || true
}

# field N of the member whose peer address is this host's; nothing when it is none.
own() { list_members | awk -F', ' -v url="$peer_url" -v field="$1" '$4 == url { print $field }'; }

write_member_config() { # new|existing initial-cluster
  write_if_changed "$etcd_dir/etcd.yaml" 600 <<YAML || true
# By provisioning/etcd.
name: ${member[name]}
data-dir: $etcd_dir/member
listen-client-urls: $client_url
advertise-client-urls: $client_url
listen-peer-urls: $peer_url
initial-advertise-peer-urls: $peer_url
initial-cluster: $2
initial-cluster-state: $1
initial-cluster-token: paas
heartbeat-interval: 100
election-timeout: 1000
pre-vote: true
auto-compaction-mode: periodic
auto-compaction-retention: 10m
quota-backend-bytes: 4294967296
logger: zap
log-level: warn
$(if [[ $scheme == https ]]; then
    for side in client peer; do
      printf '%s-transport-security:\n  cert-file: %s\n  key-file: %s\n  client-cert-auth: true\n  trusted-ca-file: %s\n' \
        "$side" "$identity" "$identity" "$authority"
    done
  fi)
YAML
}

member_is_unit() { [[ -z ${foreground:-} ]] && systemd_runs; }

# A number alone is no proof: it may belong to another program since a reboot.
member_pid() {
  local pid
  if member_is_unit; then
    pid=$(systemctl show --property MainPID --value "$etcd_unit" 2>/dev/null)
  else
    pid=$(cat "$etcd_dir/pid" 2>/dev/null)
  fi
  if [[ ${pid:-0} != 0 ]] && ! process_is_gone "$pid" &&
    tr '\0' '\n' <"/proc/$pid/cmdline" 2>/dev/null | grep -qxF "$etcd_dir/etcd.yaml"; then
    echo "$pid"
  fi
}

run_member() {
  if [[ -n $(member_pid) ]]; then
    say "etcd is running (process $(member_pid))"
  elif member_is_unit; then
    member_unit | write_if_changed "/etc/systemd/system/$etcd_unit" 644 || true
    systemctl daemon-reload
    systemctl enable --now "$etcd_unit"
  else
    setsid etcd --config-file "$etcd_dir/etcd.yaml" >>"$etcd_dir/log" 2>&1 </dev/null 8>&- 9>&- &
    echo $! >"$etcd_dir/pid"
  fi
}

member_unit() {
  cat <<UNIT
# By provisioning/etcd.
[Unit]
Description=etcd of the paas platform
Wants=network-online.target
After=network-online.target
StartLimitIntervalSec=0

[Service]
ExecStart=$(command -v etcd) --config-file $etcd_dir/etcd.yaml
Restart=always
RestartSec=1
LimitNOFILE=65536
OOMScoreAdjust=-900
# Its disk decides how fast the platform decides.
IOSchedulingClass=realtime
IOSchedulingPriority=2

[Install]
WantedBy=multi-user.target
UNIT
}

member_log_hint() { if member_is_unit; then echo "journalctl -u $etcd_unit"; else echo "$etcd_dir/log"; fi; }

member_has_ended() { [[ -z $(member_pid) ]]; }

stop_member() {
  local pid
  pid=$(member_pid)
  if [[ -z $pid ]]; then return; fi
  if member_is_unit; then systemctl disable --now "$etcd_unit"; else kill -TERM "$pid"; fi
  if ! wait_until 20 process_is_gone "$pid"; then kill -KILL "$pid"; fi
  rm -f "$etcd_dir/pid"
  say "etcd is stopped"
}

is_healthy() { etcdctl_at "$client_url" endpoint health; }

answers_or_has_ended() { member_has_ended || is_healthy; }

wait_for_member() { wait_until 60 answers_or_has_ended && is_healthy; }

start_first() {
  if [[ ! -d $etcd_dir/member ]]; then
    need_identity first
    write_member_config new "${member[name]}=$peer_url"
  fi
  run_member
  run_step "Waiting for etcd at $client_url" "read its log: $(member_log_hint)" wait_for_member
  remember_members
}

# Data of a cluster that does not know this host is of no use, and keeps etcd from starting.
set_data_aside() {
  if [[ ! -d $etcd_dir/member ]]; then return; fi
  stop_member
  local aside
  aside=$etcd_dir/member.old-$(date +%Y%m%d-%H%M%S)
  mv "$etcd_dir/member" "$aside"
  say "Set the old data aside: $aside"
}

join_cluster() {
  local members
  need_identity join
  members=$(list_members) || fail "no member of etcd answers at $(endpoints)" "name one that does with --from HOST:PORT"
  case $(awk -F', ' -v url="$peer_url" '$4 == url { print $2 }' <<<"$members") in
    started)
      if [[ ! -d $etcd_dir/member ]]; then
        fail "etcd has this host as a member, but its data is gone" "run: $0 replace ${member[name]}"
      fi
      ;;
    unstarted) write_member_config existing "$(initial_cluster)" ;;
    *)
      set_data_aside
      run_step "Adding this host to etcd's members" "provisioning/etcd status shows them; one can be added at a time" \
        wait_until 60 add_member
      write_member_config existing "$(initial_cluster)"
      ;;
  esac
  run_member
  run_step "Waiting until this member has all data and votes" "read its log: $(member_log_hint)" wait_for_vote
  run_step "Waiting for etcd at $client_url" "read its log: $(member_log_hint)" wait_for_member
  remember_members
}

# etcd refuses it while another member is new. An answer that was lost is no reason to add it twice.
add_member() {
  [[ -n $(own 1) ]] || etcdctl_at "$(endpoints)" member add "${member[name]}" --learner --peer-urls "$peer_url"
}

# What etcd wants to be told: every member's name and address. Its own has none yet.
initial_cluster() {
  list_members | awk -F', ' -v url="$peer_url" -v name="${member[name]}" \
    '$4 == url { $3 = name } $3 != "" { split($4, urls, ","); printf "%s%s=%s", comma, $3, urls[1]; comma = "," }'
}

# A unit that ended is started again; a process is not.
votes_or_is_lost() { { ! member_is_unit && member_has_ended; } || votes; }

wait_for_vote() { wait_until 300 votes_or_is_lost && votes; }

# A member that learns is promoted as soon as it has caught up; etcd refuses it before.
votes() {
  if [[ $(own 6) == false && $(own 2) == started ]]; then return; fi
  etcdctl_at "$(endpoints)" member promote "$(own 1)" && [[ $(own 6) == false ]]
}

replace_member() { # name|address
  local members dead url
  members=$(list_members) || fail "no member of etcd answers at $(endpoints)" "name one that does with --from HOST:PORT"
  dead=$(find_member "$1" <<<"$members")
  if [[ -n $dead ]]; then
    url=$(cut -d' ' -f2 <<<"$dead")
    if [[ -n $url ]] && etcdctl_at "$url" endpoint health >/dev/null 2>&1; then
      if [[ $url != "$client_url" ]]; then
        fail "the member $1 answers: it is not dead" "stop it first: provisioning/etcd stop on its host"
      fi
      say "The member $1 is this host, and well"
    else
      run_step "Removing the member $1" "read the message above; etcd needs most of its members for this" \
        etcdctl_at "$(endpoints)" member remove "$(cut -d' ' -f1 <<<"$dead")"
      if [[ $url == "$client_url" ]]; then set_data_aside; fi
    fi
  fi
  join_cluster
}

# Id and client address of the member with that name or address, from a list of members.
find_member() { # name|address
  awk -F', ' -v wanted="$1" '
    function host(url) { sub(/^[a-z]+:\/\//, "", url); sub(/:[0-9]+$/, "", url); gsub(/[][]/, "", url); return url }
    function authority(url) { sub(/^[a-z]+:\/\//, "", url); return url }
    $3 == wanted || host($4) == wanted || host($5) == wanted || authority($5) == wanted || $1 == wanted {
      split($5, urls, ","); print $1, urls[1]; exit
    }'
}

show_members() {
  local at
  at=$(endpoints)
  if [[ -z $at ]]; then fail "no member of etcd is known" "name one with --from HOST:PORT"; fi
  etcdctl_at "$at" member list --write-out table
  etcdctl_at "$at" endpoint status --cluster --write-out table || true
  etcdctl_at "$at" alarm list
}

save_snapshot() { # file
  local at
  at=$(endpoints)
  if [[ -z $at ]]; then fail "no member of etcd is known" "name one with --from HOST:PORT"; fi
  # From one member: which one does not matter.
  (umask 077 && etcdctl_at "${at%%,*}" snapshot save "$1.new")
  mv "$1.new" "$1"
  say "Saved $1: $(du -h "$1" | cut -f1)"
}

# Those that ran on would be a cluster of their own, with a history of its own.
refuse_while_others_run() {
  local at
  for at in $(endpoints | tr , ' '); do
    # Unlike health, its status a member tells without the others.
    if [[ $at != "$client_url" ]] && etcdctl_at "$at" endpoint status >/dev/null 2>&1; then
      fail "the member at $at runs" "stop etcd wherever it still runs, with provisioning/etcd stop on its host, and restore then"
    fi
  done
}

restore_snapshot() { # file
  local tool=etcdctl
  if [[ ! -r $1 ]]; then fail "there is no snapshot $1" "check the path"; fi
  if command -v etcdutl >/dev/null; then tool=etcdutl; fi
  need_identity first
  refuse_while_others_run
  stop_member
  rm -rf "$etcd_dir/member.new"
  run_step "Reading $1" "take another snapshot; this one is damaged" \
    "$tool" snapshot restore "$1" --name "${member[name]}" --initial-cluster "${member[name]}=$peer_url" \
    --initial-cluster-token "paas-$(date +%s)" --initial-advertise-peer-urls "$peer_url" --data-dir "$etcd_dir/member.new"
  set_data_aside
  mv "$etcd_dir/member.new" "$etcd_dir/member"
  write_member_config new "${member[name]}=$peer_url"
  run_member
  run_step "Waiting for etcd at $client_url" "read its log: $(member_log_hint)" wait_for_member
  rm -f "$etcd_dir/members"
  member[from]=
  remember_members
}
