# shellcheck shell=bash
# The settings of an installation: flags over a file over what was chosen before over defaults. Needs steps.sh.

declare -A setting=()

# Every setting: its flag is --KEY VALUE, its line in a file is `KEY = VALUE`.
setting_keys=(name domain data-dir prefix http-port https-port ssh-port listen address store run-image build-image email)

# read_settings FILE: lines `KEY = VALUE`; quotes around the value and # comments are allowed.
read_settings() {
  local line key value number=0
  if [[ ! -r $1 ]]; then fail "there is no settings file $1" "check the path given to --config"; fi
  while IFS= read -r line || [[ -n $line ]]; do
    number=$((number + 1))
    line=${line%%#*}
    if [[ $line =~ ^[[:space:]]*$ ]]; then continue; fi
    if [[ ! $line =~ ^[[:space:]]*([a-z_-]+)[[:space:]]*=[[:space:]]*(.*[^[:space:]])?[[:space:]]*$ ]]; then
      fail "$1, line $number is not KEY = VALUE" "the keys are: ${setting_keys[*]}"
    fi
    key=${BASH_REMATCH[1]//_/-} value=${BASH_REMATCH[2]}
    if [[ $value == \"*\" || $value == \'*\' ]]; then value=${value:1:-1}; fi
    if ! is_setting "$key"; then fail "$1, line $number: there is no setting $key" "the keys are: ${setting_keys[*]}"; fi
    setting[$key]=$value
  done <"$1"
}

is_setting() { [[ " ${setting_keys[*]} " == *" $1 "* ]]; }

settings_text() {
  local key
  echo "# What provisioning/up was told or chose. Flags given to it change these."
  for key in "${setting_keys[@]}"; do printf '%s = "%s"\n' "$key" "${setting[$key]:-}"; done
}

# write_if_changed FILE MODE: FILE gets the standard input unless it has that text; true if it was written.
write_if_changed() {
  local text
  text=$(cat; echo .)
  text=${text%.}
  if [[ -e $1 && $(cat "$1"; echo .) == "$text." ]]; then return 1; fi
  (umask 077 && printf '%s' "$text" >"$1.new")
  chmod "$2" "$1.new"
  mv "$1.new" "$1"
}

# What is not known after flags and files. `name` comes first: others follow from it.
default_name_and_directory() {
  : "${setting[name]:=paas}"
  if [[ ! ${setting[name]} =~ ^[a-z][a-z0-9-]{0,19}$ ]]; then
    fail "${setting[name]} cannot be an installation's name" "use up to 20 of a-z, 0-9 and -, a letter first"
  fi
  if [[ ${setting[name]} == paas ]]; then
    : "${setting[data-dir]:=/var/lib/paas}"
  else
    : "${setting[data-dir]:=/var/lib/paas-${setting[name]}}"
  fi
  if [[ ${setting[data-dir]} != /* ]]; then setting[data-dir]=$PWD/${setting[data-dir]}; fi
}

default_settings() {
  if [[ ${setting[name]} == paas ]]; then
    : "${setting[domain]:=paas.localhost}"
  else
    : "${setting[domain]:=${setting[name]}.localhost}"
  fi
  : "${setting[prefix]:=/usr/local}"
  : "${setting[store]:=embedded}"
  : "${setting[run-image]:=paas/stack:24}"
  : "${setting[build-image]:=paas/stack:24-build}"
  : "${setting[email]:=admin@${setting[domain]}}"
  if [[ -z ${setting[listen]:-} ]]; then
    # One socket for both families where there is IPv6.
    if [[ -e /proc/net/if_inet6 ]]; then setting[listen]='[::]'; else setting[listen]=0.0.0.0; fi
  fi
}

check_settings() {
  local key
  if [[ ! ${setting[domain]} =~ ^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$ ]]; then
    fail "${setting[domain]} is not a domain name" "give one such as paas.localhost or apps.example.com to --domain"
  fi
  if [[ ${setting[email]} != ?*@?* ]]; then
    fail "${setting[email]} is not an e-mail address" "give one such as you@example.com to --email"
  fi
  if [[ ${setting[store]} != embedded && ! ${setting[store]} =~ ^etcds?://.+ ]]; then
    fail "${setting[store]} is not a store" "give embedded or etcds://HOST:PORT[,HOST:PORT...] to --store"
  fi
  if [[ -n ${setting[address]:-} && ! ${setting[address]} =~ ^(([0-9]{1,3}\.){3}[0-9]{1,3}|[0-9a-fA-F:]+:[0-9a-fA-F:.]*)$ ]]; then
    fail "${setting[address]} is not an address of a host" "give one such as 10.0.0.1 to --address"
  fi
  for key in http-port https-port ssh-port; do
    if [[ -n ${setting[$key]:-} && ! (${setting[$key]} =~ ^[1-9][0-9]{0,4}$ && ${setting[$key]} -le 65535) ]]; then
      fail "${setting[$key]} is not a port" "give a number from 1 to 65535 to --$key"
    fi
  done
  check_ports_differ
  if [[ ! ${setting[listen]} =~ ^(([0-9]{1,3}\.){3}[0-9]{1,3}|\[[0-9a-fA-F:.]+\])$ ]]; then
    fail "${setting[listen]} is not an address to listen on" "give one such as 127.0.0.1 or [::] to --listen"
  fi
  for key in "${setting_keys[@]}"; do
    if [[ ${setting[$key]:-} == *[\"\\$'\n']* ]]; then
      fail "the setting $key holds a quote, a backslash or a line end" "choose a value without"
    fi
  done
}

# Of those that are known by now.
check_ports_differ() {
  local key port seen=' '
  for key in http-port https-port ssh-port; do
    port=${setting[$key]:-}
    if [[ -n $port && $seen == *" $port "* ]]; then
      fail "two of the ports are the same: $port" "choose three with --http-port, --https-port and --ssh-port"
    fi
    seen+="$port "
  done
}

# What paasd reads.
paasd_toml() {
  cat <<TOML
# By provisioning/up, from its settings. Edit freely: a file that was edited is left alone from then on.
domain = "${setting[domain]}"
data_dir = "${setting[data-dir]}"
instance = "${setting[name]}"
store = "${setting[store]}"

[router]
http = ["${setting[listen]}:${setting[http-port]}"]
https = ["${setting[listen]}:${setting[https-port]}"]

[builder]
ssh_listen = "${setting[listen]}:${setting[ssh-port]}"

[stack]
run_image = "${setting[run-image]}"
build_image = "${setting[build-image]}"

[node]
network = "$(network_name)"
bridge = "$(bridge_name)"
TOML
  if [[ -n ${setting[address]:-} ]]; then echo "address = \"${setting[address]}\""; fi
}

network_name() { if [[ ${setting[name]} == paas ]]; then echo paas; else echo "paas-${setting[name]}"; fi; }

# An interface's name has 15 characters at most.
bridge_name() {
  if [[ ${setting[name]} == paas ]]; then echo paas0; else echo "paas-$(sha256sum <<<"${setting[name]}" | cut -c1-8)"; fi
}

# https://api.paas.localhost:8443
platform_url() { # scheme host
  local port=${setting[$1-port]}
  if [[ $1:$port == http:80 || $1:$port == https:443 ]]; then echo "$1://$2"; else echo "$1://$2:$port"; fi
}
