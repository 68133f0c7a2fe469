# shellcheck shell=bash
# The switch and its cables.
#
# The bridge is in a network namespace of its own: in the machine's, Docker's packet filter would drop what it passes.
#
# Set by `lab`: its name, dir (on the machine's disk), run (gone with the machine's power), here.
# shellcheck disable=SC2154

# Docker's own overlays would not fit into a bigger one on most clouds.
MTU=1400

namespace_of() { echo "paas-$name-$1"; }

# The machine's end of its cable.
plug() { echo "paas-$name"; }

choose_network() {
  local network
  # Not Docker's, not what clouds use by default, and free on this machine.
  for _ in $(seq 20); do
    network=10.$((RANDOM % 50 + 190)).$((RANDOM % 250))
    if ! ip -4 route show | grep -q "${network//./\\.}\\."; then
      echo "$network" >"$dir/network"
      return
    fi
  done
  fail "found no free network"
}

switch_up() {
  local switch
  switch=$(namespace_of switch)
  ip netns add "$switch"
  ip -n "$switch" link set lo up
  ip -n "$switch" link add br0 mtu $MTU type bridge forward_delay 0 stp_state 0
  ip -n "$switch" link set br0 up
  ip netns exec "$switch" nft -f - <<'RULES'
table bridge lab {
  set cut { type ipv4_addr . ipv4_addr; }
  chain filter {
    type filter hook forward priority 0; policy accept;
    ip saddr . ip daddr @cut drop
  }
}
RULES
  ip link add "$(plug)" mtu $MTU type veth peer name pctl mtu $MTU netns "$switch"
  ip -n "$switch" link set pctl master br0 up
  ip addr add "$(address_of ctl)/24" dev "$(plug)"
  ip link set "$(plug)" up
}

switch_down() {
  ip link del "$(plug)" 2>/dev/null || true
  ip netns del "$(namespace_of switch)" 2>/dev/null || true
}

plug_in() { # index
  local switch namespace
  switch=$(namespace_of switch)
  namespace=$(namespace_of "h$1")
  ip netns add "$namespace"
  ip -n "$switch" link add "p$1" mtu $MTU type veth peer name eth0 mtu $MTU netns "$namespace"
  ip -n "$switch" link set "p$1" master br0 up
  ip -n "$namespace" addr add "$(address_of "$1")/24" dev eth0
  ip -n "$namespace" link set lo up
  ip -n "$namespace" link set eth0 up
}

plug_out() { # index
  ip -n "$(namespace_of switch)" link del "p$1" 2>/dev/null || true
  ip netns del "$(namespace_of "h$1")" 2>/dev/null || true
}

link_state() { ip -n "$(namespace_of switch)" -j link show "p$1" | jq -r '.[0].operstate'; }

filter() { ip netns exec "$(namespace_of switch)" nft "$@"; }

partition() { ip -n "$(namespace_of switch)" link set "p$1" down; }

cut_from_to() { filter add element bridge lab cut "{ $(address_of "$1") . $(address_of "$2") }"; }

cut_between() {
  cut_from_to "$1" "$2"
  cut_from_to "$2" "$1"
}

heal() { # index, or nothing for all
  local index other
  for index in ${1:-$(hosts)}; do
    ip -n "$(namespace_of switch)" link set "p$index" up 2>/dev/null || true
    for other in $(hosts) ctl; do
      filter delete element bridge lab cut "{ $(address_of "$index") . $(address_of "$other") }" 2>/dev/null || true
      filter delete element bridge lab cut "{ $(address_of "$other") . $(address_of "$index") }" 2>/dev/null || true
    done
  done
}

# Names that the operator and the hosts look up: there is no name server in the lab. In hosts.N, the platform's lead to
# host N alone.
write_names() { # count
  local index file=$dir/hosts
  echo "127.0.0.1 localhost" >"$file"
  for ((index = 1; index <= $1; index++)); do
    names_through "$index" >"$file.$index"
    names_through "$index" >>"$file"
  done
  : >"$dir/resolv.conf"
}

names_through() { echo "$(address_of "$1") h$1 api.$DOMAIN git.$DOMAIN"; } # index
