# What our buildpacks share: Heroku's way of talking, config vars, and a cache that links instead of copying.

# A step that fails without a word of its own would leave the user with nothing to go by.
trap 'warning "The buildpack stopped at line $LINENO of ${BASH_SOURCE[0]##*/}."' ERR

topic() { printf -- '-----> %s\n' "$*"; }
detail() { printf '       %s\n' "$*"; }
# sed's own -u would read byte by byte.
filter() { stdbuf -oL sed "$@"; }
indent() { filter 's/^/       /'; }
warning() { printf ' !     %s\n' "$@"; }

# Ends the compile with a reason and what to do about it, a line an argument.
fail() {
  printf '\n'
  warning "$@"
  printf '\n'
  exit 1
}

# The value of a config var, or the default.
config_var() { # name, default
  if [[ -f $ENV_DIR/$1 ]]; then cat "$ENV_DIR/$1"; else printf '%s' "${2:-}"; fi
}

# Puts the config vars in the environment, without those that would break the build itself.
export_config_vars() {
  local file name
  for file in "$ENV_DIR"/*; do
    name=${file##*/}
    if [[ -f $file && $name =~ ^[A-Za-z_][A-Za-z0-9_]*$ && ! $name =~ ^(PATH|GIT_DIR|CPATH|CPPATH|LD_PRELOAD|LIBRARY_PATH|LD_LIBRARY_PATH|LANG|BUILD_DIR|CACHE_DIR|ENV_DIR|HOME|IFS|BASH_ENV|SHELLOPTS|BASHOPTS)$ ]]; then
      # The trailing character keeps newlines at the value's end.
      value=$(cat "$file" && printf x)
      export "$name=${value%x}"
    fi
  done
}

# The same tree at another place, by hard links: costs no data and no time worth naming. Only for trees that are never
# changed in place afterwards; across file systems it is a copy.
link_tree() { # from, to
  rm -rf "$2"
  mkdir -p "$(dirname "$2")"
  cp -al "$1" "$2" 2>/dev/null || { rm -rf "$2" && cp -a "$1" "$2"; }
}

# The same tree, sharing nothing.
copy_tree() { # from, to
  rm -rf "$2"
  mkdir -p "$(dirname "$2")"
  cp -a --reflink=auto "$1" "$2"
}

# Whether the cache holds NAME made from the same inputs.
cache_has() { # name, key
  [[ -d $CACHE_DIR/$1/tree && $(cat "$CACHE_DIR/$1/key" 2>/dev/null) == "$2" ]]
}

cache_save() { # name, key, tree
  rm -rf "${CACHE_DIR:?}/$1"
  link_tree "$3" "$CACHE_DIR/$1/tree"
  printf '%s' "$2" >"$CACHE_DIR/$1/key"
}

# Keeps a download cache from growing for ever.
bound_cache() { # directory, megabytes
  if [[ -d $1 ]] && (($(du -sm "$1" | cut -f1) > $2)); then rm -rf "$1"; fi
}

checksum() { sha256sum | cut -c1-64; }
