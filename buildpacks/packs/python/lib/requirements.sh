# Which file lists the app's dependencies, and whether what it asks for is the same as last time.

# requirements.txt, pyproject.toml, setup.py or nothing.
manifest_of_app() {
  if [[ -f requirements.txt ]]; then
    echo requirements.txt
  elif [[ -f pyproject.toml ]] && grep -Eq '^\[(project|build-system|tool\.poetry)\]' pyproject.toml; then
    echo pyproject.toml
  elif [[ -f setup.py ]]; then
    echo setup.py
  elif [[ -f Pipfile ]]; then
    fail "Error: this buildpack installs with pip, and does not read Pipfile." "" \
      "Write a requirements.txt (pipenv requirements > requirements.txt), or use the official buildpack:" \
      "  paas buildpacks:set https://github.com/heroku/heroku-buildpack-python" >&2
  fi
}

# The files a requirements file takes in with -r and -c, itself first.
requirement_files() { # file
  local file=$1 dir line
  if [[ ! -f $file || $SEEN == *"|$file|"* ]]; then return; fi
  SEEN+="|$file|"
  FILES+=("$file")
  dir=$(dirname "$file")
  while IFS= read -r line || [[ -n $line ]]; do
    if [[ $line =~ ^[[:space:]]*(-r|-c|--requirement|--constraint)[[:space:]=]*([^[:space:]#]+) ]]; then
      requirement_files "$dir/${BASH_REMATCH[2]}"
    fi
  done <"$file"
}

# A key that changes with everything that decides what pip would install; empty where no key can tell: local paths and
# repositories change without their line changing.
requirements_key() { # manifest
  local FILES=() SEEN='' file
  if [[ $1 == requirements.txt ]]; then
    requirement_files requirements.txt
    if grep -Eq '^[[:space:]]*(-e|--editable|\.{0,2}/)|^[[:space:]]*\.([[:space:][]|$)|(git|hg|svn|bzr)\+|file:' "${FILES[@]}"; then return; fi
  else
    for file in pyproject.toml setup.py setup.cfg; do
      if [[ -f $file ]]; then FILES+=("$file"); fi
    done
  fi
  {
    echo "1 $STACK $stack_version $1"
    for file in "${FILES[@]}"; do
      echo "$file"
      cat "$file"
    done
    for file in "$ENV_DIR"/PIP_*; do
      if [[ -f $file ]]; then
        echo "${file##*/}"
        cat "$file"
      fi
    done
  } | checksum
}
