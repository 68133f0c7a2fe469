# shellcheck shell=bash
# The platform's bucket: a Garage, which is a real S3 server, on the machine's end of the lab's network.
#
# Set by `lab`: its name, dir (on the machine's disk), run (gone with the machine's power), here.
# shellcheck disable=SC2154

S3_BUCKET=paas
S3_REGION=garage
S3_KEY_ID=GK31c2f218a2e44f485b94239e
S3_SECRET=2222222222222222222222222222222222222222222222222222222222222222

s3_url() { echo "http://$(address_of ctl):3900"; }

# Where slugs and builds are, as lines of paasd's configuration.
blobs_config() {
  if [[ ! -e $dir/garage.toml ]]; then
    echo 'blobs.kind = "shared"'
    return
  fi
  cat <<CONFIG
blobs.kind = "s3"
blobs.bucket = "$S3_BUCKET"
blobs.region = "$S3_REGION"
blobs.endpoint = "$(s3_url)"
blobs.access_key_id = "$S3_KEY_ID"
blobs.secret_access_key = "$S3_SECRET"
blobs.allow_http = true
CONFIG
}

s3_up() {
  [[ -x ${PAAS_GARAGE:-} ]] || fail "--s3 needs PAAS_GARAGE to name the garage program; tests/s3 makes it"
  local address
  address=$(address_of ctl)
  cat >"$dir/garage.toml" <<CONFIG
metadata_dir = "$dir/garage/meta"
data_dir = "$dir/garage/data"
db_engine = "sqlite"
replication_factor = 1
rpc_bind_addr = "$address:3901"
rpc_public_addr = "$address:3901"
rpc_secret = "1111111111111111111111111111111111111111111111111111111111111111"
[s3_api]
s3_region = "$S3_REGION"
api_bind_addr = "$address:3900"
CONFIG
  echo "$PAAS_GARAGE" >"$dir/garage.program"
  s3_run
}

s3_run() {
  GARAGE_DEFAULT_ACCESS_KEY=$S3_KEY_ID GARAGE_DEFAULT_SECRET_KEY=$S3_SECRET GARAGE_DEFAULT_BUCKET=$S3_BUCKET \
    setsid "$(cat "$dir/garage.program")" -c "$dir/garage.toml" server --single-node --default-bucket \
    </dev/null >>"$dir/garage.log" 2>&1 &
  echo $! >"$run/garage.pid"
  await 60 "the bucket can be read" s3_list
}

s3_stop() {
  local pid
  pid=$(cat "$run/garage.pid" 2>/dev/null) || return 0
  rm -f "$run/garage.pid"
  # A number alone is no proof: it may belong to another program by now.
  if ! tr '\0' '\n' <"/proc/$pid/cmdline" 2>/dev/null | grep -qxF "$dir/garage.toml"; then return 0; fi
  kill -TERM "$pid"
  await 30 "Garage ends" is_gone "$pid"
}

s3_curl() { # path curl-arguments...
  local path=$1
  shift
  curl -sf --header "x-amz-content-sha256: UNSIGNED-PAYLOAD" --aws-sigv4 "aws:amz:$S3_REGION:s3" --user "$S3_KEY_ID:$S3_SECRET" "$@" "$(s3_url)/$S3_BUCKET/$path"
}

s3_list() { s3_curl '?list-type=2' | sed 's/<Key>/\n<Key>/g' | sed -n 's/^<Key>\([^<]*\).*/\1/p'; }

s3() { # verb
  [[ -e $dir/garage.toml ]] || fail "this lab has no bucket: it came up without --s3"
  case ${1:-} in
    stop) s3_stop ;;
    run) s3_run ;;
    list) s3_list ;;
    get) s3_curl "${2:?which?}" --output "${3:?into which file?}" ;;
    put) s3_curl "${2:?which?}" --upload-file "${3:?from which file?}" ;;
    *) fail "there is no verb s3 ${1:-}; see: $0 --help" ;;
  esac
}
