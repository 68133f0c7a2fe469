# shellcheck shell=bash
# Which ports the platform listens on. Needs steps.sh and settings.sh.
# shellcheck disable=SC2154 # setting comes from who sources this

port_is_free() { [[ -z $(ss -Hltn "sport = :$1" 2>/dev/null) ]]; }

port_holder() {
  local holder
  holder=$(ss -Hltnp "sport = :$1" 2>/dev/null | sed -n 's/.*users:((\("[^"]*"\),pid=\([0-9]*\).*/\1, process \2/p' | head -n 1)
  echo "${holder:-another program}"
}

# Whether the process listens there, whoever else does on another address.
port_is_held_by() { # port process
  ss -Hltnp "sport = :$1" 2>/dev/null | grep -q "pid=$2,"
}

# 80 and 443 when both are free, else 8080 and 8443; what was asked for or chosen before stays.
choose_ports() {
  local http=${setting[http-port]:-} https=${setting[https-port]:-}
  if [[ -z $http && -z $https ]]; then
    if port_is_free 80 && port_is_free 443; then
      http=80 https=443
    else
      say "Port 80 or 443 is taken ($(port_holders 80 443)): using 8080 and 8443"
      http=8080 https=8443
    fi
  fi
  if [[ -z $http ]]; then http=$(first_free 80 8080); fi
  if [[ -z $https ]]; then https=$(first_free 443 8443); fi
  setting[http-port]=$http setting[https-port]=$https
  if [[ -z ${setting[ssh-port]:-} ]]; then
    setting[ssh-port]=$(first_free {2222..2299})
    if [[ ${setting[ssh-port]} != 2222 ]]; then
      say "Port 2222 is taken ($(port_holders 2222)): git over SSH listens on ${setting[ssh-port]}"
    fi
  fi
}

first_free() { # port...
  local port
  for port; do
    if port_is_free "$port"; then break; fi
  done
  echo "$port"
}

port_holders() { # port...
  local port text=
  for port; do
    if ! port_is_free "$port"; then text+="${text:+; }$port by $(port_holder "$port")"; fi
  done
  echo "$text"
}

# Before paasd is stopped for others: that the address it is to listen on is this host's.
check_listen() {
  local address=${setting[listen]}
  if [[ $address == 0.0.0.0 || $address == '[::]' ]]; then return; fi
  address=${address#[}
  if [[ $(ip route get "${address%]}" 2>/dev/null) != local\ * ]]; then
    fail "${setting[listen]} is no address of this host" "give one that \`ip address\` shows to --listen, or leave that out"
  fi
}

# And that it will get its ports.
check_ports() { # the process of our paasd, if it runs
  local key holder
  check_ports_differ
  for key in http-port https-port ssh-port; do
    if port_is_free "${setting[$key]}"; then continue; fi
    if [[ -n ${1:-} ]] && port_is_held_by "${setting[$key]}" "$1"; then continue; fi
    holder=$(port_holder "${setting[$key]}")
    fail "port ${setting[$key]} is taken by $holder" "stop that program, or choose another port with --$key"
  done
}
