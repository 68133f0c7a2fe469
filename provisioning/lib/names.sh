# shellcheck shell=bash
# That the platform's own names lead to this host. Needs steps.sh and packages.sh.

hosts_file=${PAAS_HOSTS_FILE:-/etc/hosts}

resolves() { getent ahosts "$1" >/dev/null 2>&1; }

# The C library knows no name below .localhost but localhost; this module of it knows them all.
need_names() { # domain
  if [[ $1 == *.localhost || $1 == localhost ]] && ! resolves "api.$1"; then
    need_file "/usr/lib/$(uname -m)-linux-gnu/libnss_myhostname.so.2" libnss-myhostname
  fi
}

# A block in /etc/hosts for those of the names that do not resolve without it; none when all do.
ensure_names() { # installation name...
  local installation=$1 name wanted=() block
  shift
  block=$(hosts_block "$installation")
  for name in "$@"; do
    if ! resolves "$name" || [[ " ${block//$'\n'/ } " == *" $name "* ]]; then wanted+=("$name"); fi
  done
  if ((${#wanted[@]} == 0)) || [[ $block == "127.0.0.1 ${wanted[*]}" ]]; then return; fi
  write_hosts "$installation" "127.0.0.1 ${wanted[*]}"
  say "Wrote to $hosts_file: ${wanted[*]} (nothing else resolved them)"
}

forget_names() { # installation
  if [[ -n $(hosts_block "$1") ]]; then
    write_hosts "$1" ""
    say "Removed the names from $hosts_file"
  fi
}

hosts_begin() { echo "# >>> paas $1 (by provisioning/up; provisioning/down --purge removes it)"; }
hosts_end() { echo "# <<< paas $1"; }

# The lines of the installation's block.
hosts_block() { # installation
  awk -v begin="$(hosts_begin "$1")" -v end="$(hosts_end "$1")" \
    '$0 == begin { inside = 1; next } $0 == end { inside = 0 } inside' "$hosts_file" 2>/dev/null
}

# Puts the lines into the installation's block; without lines, removes it. In place: containers mount this file.
write_hosts() { # installation lines
  local others
  others=$(awk -v begin="$(hosts_begin "$1")" -v end="$(hosts_end "$1")" \
    '$0 == begin { inside = 1 } !inside { print } $0 == end { inside = 0 }' "$hosts_file" 2>/dev/null; echo .)
  {
    printf '%s' "${others%.}"
    if [[ -n $2 ]]; then printf '%s\n%s\n%s\n' "$(hosts_begin "$1")" "$2" "$(hosts_end "$1")"; fi
  } >"$hosts_file"
}
