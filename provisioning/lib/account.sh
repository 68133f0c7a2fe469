# shellcheck shell=bash
# The API: that it answers, and that the caller's `paas` is logged in to it. Needs steps.sh, settings.sh, daemon.sh,
# user.sh.
# shellcheck disable=SC2154 # setting comes from who sources this

api_url() { platform_url https "api.${setting[domain]}"; }

# Unless the configuration names a certificate from elsewhere.
local_ca_file() { echo "${setting[data-dir]}/tls/ca.pem"; }
has_local_ca() { [[ -e $(local_ca_file) ]]; }

# The authority's certificate, readable to all: clients need it, and the data directory is closed to them.
public_ca_file() { echo "${setting[prefix]}/share/paas/${setting[name]}/ca.pem"; }

# Also says how to log in.
publish_ca() {
  login_options=(--api "$(api_url)")
  if ! has_local_ca; then return; fi
  login_options+=(--ca-file "$(public_ca_file)")
  mkdir -p "$(dirname "$(public_ca_file)")"
  if ! write_if_changed "$(public_ca_file)" 644 <"$(local_ca_file)"; then return; fi
  # By this name OpenSSL finds it in the directory; GnuTLS, which Debian's git uses, reads every file.
  if command -v openssl >/dev/null; then
    (cd "$(dirname "$(public_ca_file)")" && ln -sf ca.pem "$(openssl x509 -noout -hash -in ca.pem).0")
  fi
}

# `paas login` names the authority to git as a file, which GIT_SSL_CAINFO in the environment of many build machines
# overrides; a directory of authorities counts besides.
git_trust_key() { echo "http.$(git_origin)/.sslCAPath"; }
git_origin() { platform_url https "git.${setting[domain]}"; }

trust_ca_in_git() {
  if has_local_ca; then as_caller git config --global --replace-all "$(git_trust_key)" "$(dirname "$(public_ca_file)")"; fi
}

# forget_in_git ORIGIN GIT-CONFIG...: what `paas login` and trust_ca_in_git wrote for https://git.example.com.
forget_in_git() {
  local origin=$1 key
  shift
  for key in "credential.$origin.helper" "http.$origin/.sslCAInfo" "http.$origin/.sslCAPath"; do
    "$@" --unset-all "$key" 2>/dev/null || true
  done
}

# Where the caller's git trusts this installation's authority: the platform's origin, and those it had before its domain
# or its port changed.
git_origins() {
  local entry ours
  ours=$(dirname "$(public_ca_file)")
  while IFS= read -r -d '' entry; do
    if [[ ${entry#*$'\n'} != "$ours" ]]; then continue; fi
    entry=${entry%%$'\n'*} entry=${entry#http.} entry=${entry%.sslcapath}
    echo "${entry%/}"
  done < <(as_caller git config --global --null --get-regexp '^http\..*\.sslcapath$' 2>/dev/null)
}

# forget_git_origins [ORIGIN]: all of them but ORIGIN.
forget_git_origins() {
  local origin
  while read -r origin; do
    if [[ $origin != "${1:-}" ]]; then forget_in_git "$origin" as_caller git config --global; fi
  done < <(git_origins)
}

first_account_file() { echo "${setting[data-dir]}/first-account.json"; }

first_account() { # field
  sed -n "s/.*\"$1\"[[:space:]]*:[[:space:]]*\"\([^\"]*\)\".*/\1/p" "$(first_account_file)" 2>/dev/null | head -n 1
}

# Where on this host the platform listens.
listen_address() {
  case ${setting[listen]} in
    0.0.0.0) echo 127.0.0.1 ;;
    '[::]') echo 127.0.0.1 ;;
    *) echo "${setting[listen]}" ;;
  esac
}

# curl_platform SCHEME HOST PATH OPTION...: through the router, whatever the names resolve to.
curl_platform() {
  local scheme=$1 host=$2 path=$3 trust=()
  shift 3
  if has_local_ca; then trust=(--cacert "$(local_ca_file)"); fi
  curl --silent --show-error --max-time 20 --noproxy '*' "${trust[@]}" \
    --connect-to "$host::$(listen_address):" "$@" "$(platform_url "$scheme" "$host")$path"
}

status_of() { # scheme host path option...
  curl_platform "$@" --output /dev/null --write-out '%{http_code}' 2>/dev/null || true
}

# Any answer that the controller itself gave: 200 with a token, 401 without a good one.
api_answers() {
  [[ $(status_of https "api.${setting[domain]}" /account --header 'Accept: application/vnd.heroku+json; version=3' \
    --header @<(printf 'Authorization: Bearer %s\n' "$(first_account token)")) =~ ^(200|401)$ ]]
}

wait_for_api() {
  local deadline=$((SECONDS + 90))
  until api_answers; do
    if [[ -z $(daemon_pid) ]]; then
      daemon_last_lines
      echo "paasd has ended"
      return 1
    fi
    if ((SECONDS >= deadline)); then
      daemon_last_lines
      echo "$(api_url) does not answer after 90 s"
      return 1
    fi
    sleep 0.2
  done
}

# A second installation must not take the place of the first one's login.
choose_session() {
  if [[ ${setting[name]} != paas && -z ${PAAS_CONFIG:-} ]]; then
    export PAAS_CONFIG
    PAAS_CONFIG=$(caller_home)/.config/paas/${setting[name]}.toml
  fi
}

paas() { as_caller "${setting[prefix]}/bin/paas" "$@"; }

# The platform that the caller is logged in to; nothing without a login.
session_api() {
  paas auth:token --json 2>/dev/null | sed -n 's|.*"api"[[:space:]]*:[[:space:]]*"\([^"]*[^"/]\)/*".*|\1|p' || true
}

logged_in() { PAAS_API_URL=$(api_url) paas whoami >/dev/null 2>&1; }

log_in() {
  local arguments=("${login_options[@]}" --token-stdin) host=git.${setting[domain]} other
  other=$(session_api)
  if [[ $host == *.localhost ]]; then host=localhost; fi
  if [[ ${setting[ssh-port]} != 2222 ]]; then arguments+=(--ssh-host "$host:${setting[ssh-port]}"); fi
  if [[ -n $other && $other != "$(api_url)" ]]; then warn "the login at $other gives way to that of $(api_url)"; fi
  first_account token | paas login "${arguments[@]}"
  trust_ca_in_git
  forget_git_origins "$(git_origin)"
}
