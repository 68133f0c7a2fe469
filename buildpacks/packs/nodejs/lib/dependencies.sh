# node_modules: restored when nothing that decides its content has changed, else installed.
#
# The cache has two trees which share their files: `node_modules`, with development's packages, for a build script to use,
# and `pruned`, without, for the slug.

RESTORED=
KEY=

declares() { # key of package.json: whether it has anything in it
  (($(jq --arg key "$1" '.[$key]? // {} | length' package.json) > 0))
}

lockfile() {
  local file
  for file in npm-shrinkwrap.json package-lock.json; do
    if [[ -f $file ]]; then printf '%s' "$file"; return; fi
  done
}

# Empty where no key can tell: workspaces and file: packages change without package.json changing.
dependencies_key() {
  if declares workspaces || jq -e '[.dependencies, .devDependencies, .optionalDependencies | .[]?] | any(type == "string" and test("^(file|link|git|github|https?):|^git[+]|^[.]{1,2}/|^~?/|^[^@]+/"))' package.json >/dev/null; then return; fi
  {
    echo "1 $STACK $NODE_VERSION $NPM_VERSION $(uname -m) $NODE_ENV"
    # Development writes its app's version into the lockfile too: neither decides what is installed.
    jq -cS '{dependencies, devDependencies, optionalDependencies, peerDependencies, overrides, bundleDependencies, engines,
      scripts: (.scripts // {} | {preinstall, install, postinstall, prepare})}' package.json
    if [[ -n $(lockfile) ]]; then jq -cS 'del(.version, .packages[""].version)' "$(lockfile)"; fi
    if [[ -f .npmrc ]]; then cat .npmrc; fi
    env | grep -i '^npm_config_' | grep -v '^NPM_CONFIG_CACHE=' | LC_ALL=C sort
  } | checksum
}

# The app's own scripts that npm would run after an install.
lifecycle_scripts() {
  local name
  for name in preinstall install postinstall prepare; do
    if script "$name"; then printf '%s\n' "$name"; fi
  done
}

# A script of the app may change files of node_modules in place, and must not reach the cache's.
restore() { # name of the tree
  if [[ -n $(lifecycle_scripts) ]] || script build || script heroku-postbuild; then
    copy_tree "$CACHE_DIR/$1/tree" node_modules
  else
    link_tree "$CACHE_DIR/$1/tree" node_modules
  fi
}

builds_with_dev() { script build || script heroku-postbuild || [[ -n $(lifecycle_scripts) ]]; }

install_dependencies() {
  local name tree=node_modules
  if [[ -d node_modules ]]; then
    warning "node_modules is checked into source control: it is replaced by a fresh install." \
      "Add node_modules to .gitignore to make pushes smaller."
    rm -rf node_modules
  fi
  if [[ $NODE_MODULES_CACHE == true ]]; then KEY=$(dependencies_key); fi
  if ! builds_with_dev; then tree=pruned; fi
  topic "Restoring cache"
  if [[ -n $KEY ]] && cache_has "$tree" "$KEY"; then
    restore "$tree"
    RESTORED=$tree
    detail "node_modules (${lockfile_name:=$(lockfile)}${lockfile_name:+ }unchanged)"
  elif [[ -d $CACHE_DIR/npm ]]; then
    detail "npm's download cache; dependencies have changed"
  else
    detail "nothing yet"
  fi
  topic "Installing dependencies"
  if [[ -n $RESTORED ]]; then
    detail "Already installed"
    for name in $(lifecycle_scripts); do run_script "$name"; done
    return
  fi
  if [[ -n $(lockfile) && ${USE_NPM_INSTALL:-false} != true ]]; then
    detail "Installing node modules ($(lockfile))"
    npm_quietly ci --include=dev || install_failed
  else
    detail "Installing node modules (package.json)"
    npm_quietly install --include=dev --no-package-lock || install_failed
  fi
  # An app without dependencies gets no node_modules from npm.
  mkdir -p node_modules
  if [[ -n $KEY ]]; then
    topic "Caching build"
    detail "node_modules"
    rm -rf "$CACHE_DIR/pruned"
    if builds_with_dev; then
      rm -rf "${CACHE_DIR:?}/node_modules" && mkdir -p "$CACHE_DIR/node_modules" && copy_tree node_modules "$CACHE_DIR/node_modules/tree"
      printf '%s' "$KEY" >"$CACHE_DIR/node_modules/key"
    fi
    bound_cache "$CACHE_DIR/npm" 1024
  fi
}

npm_quietly() { npm "$@" --no-audit --no-fund 2>&1 | indent; }

install_failed() {
  fail "Error: npm could not install the app's dependencies." "" \
    "See the output above. If package.json and the lockfile do not fit together, run npm install and commit both."
}

prune_dependencies() {
  if [[ $RESTORED == pruned ]]; then return; fi
  if [[ ${NPM_CONFIG_PRODUCTION:-true} == false || $NODE_ENV != production ]]; then
    topic "Skipping pruning, since NODE_ENV or NPM_CONFIG_PRODUCTION says so"
  elif declares devDependencies; then
    topic "Pruning devDependencies"
    npm_quietly prune --omit=dev --ignore-scripts "--package-lock=$([[ -n $(lockfile) ]] && echo true || echo false)" || fail "Error: npm could not prune devDependencies."
  fi
  if [[ -n $KEY ]] && ! builds_with_dev; then cache_save pruned "$KEY" node_modules; fi
}
