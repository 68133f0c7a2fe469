# Getting the buildpacks into PACKS_DIR/NN, where they can be written to (compile leaves `export` beside bin/).

FETCH_LIMIT=90

# Fills PACKS[number] from its kind and value.
fetch_pack() { # number
  local number=$1 dir value=${VALUES[$1]} trouble=$PACKS_DIR/fetch.log
  dir=$PACKS_DIR/$(printf '%02d' "$number")
  mkdir -p "$dir"
  case ${KINDS[number]} in
    shipped) cp -R "$JOB/shipped/$value/." "$dir/" >"$trouble" 2>&1 || fetch_failed "$number" "$trouble" ;;
    dir) cp -R "$JOB/buildpacks/$value/." "$dir/" >"$trouble" 2>&1 || fetch_failed "$number" "$trouble" ;;
    git) fetch_git "$value" "$dir" >"$trouble" 2>&1 || fetch_failed "$number" "$trouble" ;;
    tgz) fetch_tgz "$value" "$dir" >"$trouble" 2>&1 || fetch_failed "$number" "$trouble" ;;
    *) fail internal "buildpacks.list has a kind nobody knows: ${KINDS[number]}" ;;
  esac
  if [[ ! -f $dir/bin/compile ]]; then
    echo "it has no bin/compile" >"$trouble"
    fetch_failed "$number" "$trouble"
  fi
  chmod +x "$dir"/bin/* 2>/dev/null || true
  if [[ -d $dir/.git ]]; then REVISIONS[number]=$(git -C "$dir" rev-parse HEAD 2>/dev/null || true); fi
  PACKS[number]=$dir
}

fetch_failed() { # number, log
  problem "Could not fetch buildpack ${NAMES[$1]}:"
  tail -n 5 "$2" | sed -E 's#(://)[^/@[:space:]]*@#\1#g' | indent
  CULPRIT=${NAMES[$1]} fail fetch "Push rejected, failed to fetch buildpack ${NAMES[$1]}."
}

# URL#ref, ref being a branch, a tag or a commit. Shallow where the server can, whole where it cannot.
fetch_git() { # url, directory
  local url=${1%%#*} ref=HEAD dir=$2
  if [[ $1 == *'#'* ]]; then ref=${1#*#}; fi
  export GIT_TERMINAL_PROMPT=0 GIT_ASKPASS=/bin/true GIT_CONFIG_NOSYSTEM=1
  export GIT_ALLOW_PROTOCOL=https:http:git:ssh:file GIT_SSH_COMMAND='ssh -o BatchMode=yes -o StrictHostKeyChecking=accept-new'
  timeout "$FETCH_LIMIT" bash -c '
    set -e
    url=$1 ref=$2 dir=$3
    git init -q "$dir"
    cd "$dir"
    if git fetch -q --depth 1 -- "$url" "$ref" 2>/dev/null; then
      git checkout -q FETCH_HEAD
    else
      git fetch -q --tags -- "$url" "+refs/heads/*:refs/remotes/origin/*" HEAD
      for name in "refs/remotes/origin/$ref" "refs/tags/$ref" "$ref"; do
        if [[ $ref == HEAD ]]; then name=FETCH_HEAD; fi
        if commit=$(git rev-parse -q --verify --end-of-options "$name^{commit}"); then break; fi
      done
      if [[ -z $commit ]]; then echo "no branch, tag or commit \"$ref\" in it"; exit 1; fi
      git checkout -q "$commit"
    fi
    if [[ -f .gitmodules ]]; then git submodule update -q --init --recursive --depth 1; fi
  ' fetch "$url" "$ref" "$dir"
}

# A gzipped tar with bin/ at its top, or one directory down as code hosts pack it.
# Each step says `|| return`: its caller asks how it ended, and bash ignores `set -e` in what is asked so.
fetch_tgz() { # url, directory
  local url=$1 dir=$2 archive=$PACKS_DIR/archive.tgz inner
  curl -fsSL --retry 2 --retry-connrefused --connect-timeout 20 --max-time "$FETCH_LIMIT" --proto '=http,https,file' -o "$archive" -- "$url" || return
  tar -xzf "$archive" --no-same-owner -C "$dir" || return
  rm -f "$archive"
  if [[ ! -d $dir/bin ]]; then
    inner=("$dir"/*/bin)
    if ((${#inner[@]} == 1)) && [[ -d ${inner[0]} ]]; then
      mv "${inner[0]%/bin}" "$dir.inner"
      rm -rf "$dir"
      mv "$dir.inner" "$dir"
    fi
  fi
}
