# shellcheck shell=bash
# The platform on the hosts, as operators set one up: the first host begins it, the others join it with a token.
#
# Set by `lab`: its name, dir (on the machine's disk), run (gone with the machine's power), here.
# shellcheck disable=SC2154

DOMAIN=paas.test
MEMORY_MB=4096
bin=${LAB_BIN:-$(cd "$here/../.." && pwd)/target/debug}
provisioning=$here/../../provisioning

platform_up() { # count
  local index
  for ((index = 1; index <= $1; index++)); do service_run "$index" docker; done
  begin_platform
  if (($1 > 1)); then
    operator nodes:token --roles controller,builder,scheduler,router,node --uses $(($1 - 1)) >"$dir/token" 2>>"$dir/operator.log"
    local -a joining=()
    for ((index = 2; index <= $1; index++)); do
      join_platform "$index" &
      joining+=($!)
    done
    await_all "${joining[@]}"
    grow_etcd </dev/null >>"$dir/grow-etcd.log" 2>&1 &
    echo $! >"$run/growing"
  fi
  # A host without a controller passes the question on.
  for ((index = 1; index <= $1; index++)); do
    [[ ,$(roles_of "$index"), == *,router,* ]] || continue
    await 60 "the API answers through h$index" api_answers "$index"
  done
}

config_of() { echo "$(disk_of "$1")/paas/paasd.toml"; } # index

# The first host: certificates, etcd, the first account, paasd.
begin_platform() {
  local config
  config=$(config_of 1)
  # shellcheck disable=SC2016
  first_config | (host_exec 1 sh -c 'cat >"$1"' _ "$config")
  add_settings 1
  etcd_member 1 start --first
  (host_exec 1 "$bin/paasd" init --email admin@example.com --config "$config") >"$dir/account.json"
  (host_exec 1 cat "$(disk_of 1)/paas/tls/ca.pem") >"$dir/ca.pem"
  await_docker 1
  service_run 1 paasd
  await 60 "the API answers through h1" api_answers 1
  jq -r .token "$dir/account.json" | operator login --api "https://api.$DOMAIN" --token-stdin --ca-file "$dir/ca.pem" 2>>"$dir/operator.log"
}

join_platform() { # index
  (host_exec "$1" "$bin/paasd" join - --data-dir "$(disk_of "$1")/paas" --address "$(address_of "$1")" --name "h$1" \
    --memory-mb "$MEMORY_MB" --roles "$(roles_of "$1")") <"$dir/token" >>"$dir/h$1/paasd.log"
  add_settings "$1"
  await_docker "$1"
  service_run "$1" paasd
}

# etcd takes in one member at a time, and the next one only when all have known each other for five seconds. The platform
# works meanwhile; what is to go wrong waits (await_etcd).
grow_etcd() {
  local index
  for ((index = 2; index <= $(members); index++)); do etcd_member "$index" start --join; done
  touch "$run/grown"
}

await_etcd() {
  [[ -e $run/growing ]] || return 0
  await 120 "etcd has all its members" is_gone "$(cat "$run/growing")"
  [[ -e $run/grown ]] || fail "etcd did not get all its members: $(tail -n 5 "$dir/grow-etcd.log")"
}

# provisioning/etcd on a host. What it starts is then kept running as any service is.
etcd_member() { # index verb...
  local index=$1
  shift
  # shellcheck disable=SC2016
  (host_exec "$index" sh -c 'mkdir -p "$1" && ln -sfn "$2" "$1/pid"' _ "$(disk_of "$index")/paas/etcd" "$run/h$index/etcd.pid")
  (host_exec "$index" "$provisioning/etcd" "$@" --config "$(config_of "$index")" --paasd "$bin/paasd") >>"$dir/h$index/etcd.log" 2>&1 ||
    fail "provisioning/etcd $1 failed on h$index: $(tail -n 5 "$dir/h$index/etcd.log")"
  if [[ $1 == start || $1 == restore || $1 == replace ]]; then service_run "$index" etcd; fi
}

await_docker() { # index
  await 60 "Docker of h$1 answers" curl -sf --unix-socket "$run/h$1/docker.sock" http://docker/_ping
}

# shellcheck disable=SC2317
api_answers() {
  [[ $(curl -s -m 2 -o /dev/null -w '%{http_code}' -H "Host: api.$DOMAIN" "http://$(address_of "$1")/account") == 401 ]]
}

# What the hosts' engines are told, before any of them runs.
prepare_engines() {
  docker info --format '{{.Driver}}' | grep -qx overlay2 || fail "the machine's Docker must use overlay2: the hosts borrow its images"
  docker info --format '{{.DockerRootDir}}' >"$dir/docker-root"
  echo '{}' >"$dir/docker.json"
}

roles_of() { # index
  local -a roles
  read -ra roles <<<"${LAB_ROLES:-}"
  if ((${#roles[@]} >= $1)); then echo "${roles[$1 - 1]}"; else echo controller,scheduler,router,node,builder; fi
}

# What the first host is told; the others are told by the platform.
first_config() {
  local address roles member endpoints=''
  address=$(address_of 1)
  roles=$(roles_of 1)
  # Those to come too: hosts would learn of them by themselves, but not within the first minute.
  for ((member = 1; member <= $(members); member++)); do endpoints+=,$(address_of "$member"):2379; done
  cat <<CONFIG
domain = "$DOMAIN"
data_dir = "$(disk_of 1)/paas"
instance = "lab$name"
store = "etcds://${endpoints#,}"
roles = ["${roles//,/\", \"}"]
log = "${LAB_LOG:-info}"
node.name = "h1"
node.address = "$address"
node.memory_mb = $MEMORY_MB
CONFIG
  blobs_config
}

# LAB_SETTINGS in a host's configuration, instead of what is there of the same names.
add_settings() { # index
  local line key section file=$dir/h$1/settings.toml
  [[ -n ${LAB_SETTINGS:-} ]] || return 0
  (host_exec "$1" cat "$(config_of "$1")") >"$file"
  while IFS= read -r line; do
    key=${line%%[ =]*} section=''
    if [[ $key == *.* ]]; then section=${key%.*} key=${key##*.}; fi
    if [[ -n $section ]] && grep -qxF "[$section]" "$file"; then
      sed -i "/^\[$section\]$/,/^\[/ { /^$key = /d }; /^\[$section\]$/a ${line#"$section."}" "$file"
    else
      # Above all tables: a name with a dot is of the table that it is in.
      sed -i "1i $line" "$file"
    fi
  done < <(sed "s/@address@/$(address_of "$1")/g; s/@name@/h$1/g; s/@index@/$1/g" <<<"$LAB_SETTINGS")
  # shellcheck disable=SC2016
  (host_exec "$1" sh -c 'cat >"$1"' _ "$(config_of "$1")") <"$file"
}

# A command of the operator's: on the machine, but with the lab's names; of host LAB_THROUGH alone, if that is set.
ctl() {
  # shellcheck disable=SC2016
  exec unshare --mount --propagation private bash -c 'mount --bind "$1" /etc/hosts && shift && exec "$@"' _ "$dir/hosts${LAB_THROUGH:+.$LAB_THROUGH}" "$@"
}

# paas as the first administrator.
operator() {
  mkdir -p "$dir/operator"
  (HOME=$dir/operator XDG_CONFIG_HOME=$dir/operator ctl "$bin/paas" "$@")
}
