# shellcheck shell=bash
# Debian packages: only those that are missing, however many programs of this kind run at once. Needs steps.sh.

packages_missing=()

# need_program PROGRAM PACKAGE: notes PACKAGE for install_missing unless PROGRAM is there.
need_program() {
  if ! PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null; then packages_missing+=("$2"); fi
}

# need_file FILE PACKAGE
need_file() {
  if [[ ! -e $1 ]]; then packages_missing+=("$2"); fi
}

install_missing() {
  if ((${#packages_missing[@]} == 0)); then return; fi
  local advice="see that the Debian mirrors in /etc/apt can be reached (apt-get update), then run this again"
  if ! command -v apt-get >/dev/null; then
    fail "these are missing, and there is no apt-get to install them with: ${packages_missing[*]}" \
      "install them with this system's own package manager, then run this again"
  fi
  run_step "Installing ${packages_missing[*]}" "$advice" install_packages "${packages_missing[@]}"
  packages_missing=()
}

install_packages() { # package...
  export DEBIAN_FRONTEND=noninteractive
  hold_services
  if ! packages_are_known "$@"; then update_package_lists; fi
  # Lists that are out of date name files that the mirror no longer has.
  apt_install "$@" || {
    update_package_lists
    apt_install "$@"
  }
  release_services
}

apt_install() {
  apt-get -o DPkg::Lock::Timeout=600 -o Acquire::Retries=3 install --yes --no-install-recommends "$@"
}

packages_are_known() {
  apt-cache show --no-all-versions "$@" >/dev/null 2>&1
}

# apt waits for dpkg's lock by itself, for that of its lists it does not.
update_package_lists() {
  local deadline=$((SECONDS + 600)) said
  while ! said=$(apt-get -o Acquire::Retries=3 update 2>&1); do
    printf '%s\n' "$said"
    if [[ $said != *"Could not get lock"* ]] || ((SECONDS >= deadline)); then return 1; fi
    echo "Waiting for another apt to end"
    sleep 2
  done
  printf '%s\n' "$said"
}

services_policy=/usr/sbin/policy-rc.d
services_policy_mark='# by paas provisioning, for the time of an installation'

# Packages bring services that start themselves (etcd on its standard port, for one): who installs decides what runs.
hold_services() {
  if [[ -e $services_policy ]] && ! grep -qF "$services_policy_mark" "$services_policy"; then return; fi
  trap release_services EXIT
  printf '#!/bin/sh\n%s\nexit 101\n' "$services_policy_mark" >"$services_policy"
  chmod 755 "$services_policy"
}

release_services() {
  if grep -qsF "$services_policy_mark" "$services_policy"; then rm -f "$services_policy"; fi
}

systemd_runs() { [[ -d /run/systemd/system ]]; }
