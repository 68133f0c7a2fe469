# shellcheck shell=bash
# Who called: with sudo, what belongs in a home directory (toolchain, login, sample) is the caller's, not root's.

need_root() {
  if ((EUID != 0)); then
    fail "this needs root: it installs packages and starts Docker" "run it again with: sudo $0 $*"
  fi
}

caller_is_another() { [[ -n ${SUDO_USER:-} && $SUDO_USER != root ]]; }

caller_home() {
  if caller_is_another; then getent passwd "$SUDO_USER" | cut -d: -f6; else echo "${HOME:-/root}"; fi
}

as_caller() {
  if caller_is_another; then
    runuser -u "$SUDO_USER" -- env "HOME=$(caller_home)" "USER=$SUDO_USER" "LOGNAME=$SUDO_USER" "$@"
  else
    "$@"
  fi
}

# Rust's installers put it where a login shell finds it, which this need not be.
find_cargo() {
  PATH=$PATH:$(caller_home)/.cargo/bin:/usr/local/cargo/bin
  command -v cargo >/dev/null || fail "there is no cargo" "install Rust (https://rustup.rs), then run this again"
}
