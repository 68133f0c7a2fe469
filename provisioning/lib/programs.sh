# shellcheck shell=bash
# paasd and paas: built here, or brought along, and put in their place, with what explains them. Needs steps.sh, packages.sh, user.sh, settings.sh and
# $provisioning_dir; $binaries says where they are once they are built.
# shellcheck disable=SC2154 # setting and provisioning_dir come from who sources this

# Packages for building.
need_build_tools() {
  need_program protoc protobuf-compiler
  need_file /usr/include/google/protobuf/descriptor.proto libprotobuf-dev
  need_program cc gcc
  need_file /usr/include/stdio.h libc6-dev
}

build() {
  local root=$provisioning_dir/..
  find_cargo
  run_step "Building paasd and paas (10 minutes or more at first)" \
    "the compiler's message above says what is wrong; with little memory, try CARGO_BUILD_JOBS=1" \
    as_caller env -C "$root" "PATH=$PATH" cargo build --release --locked -p paasd -p paas
  binaries=$(as_caller env -C "$root" "PATH=$PATH" cargo metadata --format-version 1 --no-deps --offline |
    sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')/release
}

# Renamed into place: a program that runs keeps its file.
install_binaries() {
  local program place=${setting[prefix]}/bin
  mkdir -p "$place"
  for program in paasd paas; do
    if [[ ! -x $binaries/$program ]]; then fail "there is no $binaries/$program" "build it, or leave --binaries out"; fi
    if cmp --silent "$binaries/$program" "$place/$program"; then continue; fi
    install -m 755 "$binaries/$program" "$place/.$program.new"
    mv "$place/.$program.new" "$place/$program"
    say "Installed $place/$program"
  done
}

# Manual pages and completion, where Debian's man, bash-completion, zsh and fish look. Written anew when paas is.
install_manuals() {
  local place=${setting[prefix]}/bin share=${setting[prefix]}/share
  local pages=$share/man/man1
  if [[ $pages/paas.1 -nt $place/paas ]]; then return; fi
  # One that is brought along may be older than these.
  if ! "$place/paas" completion bash >/dev/null 2>&1; then return; fi
  mkdir -p "$pages"
  rm -f "$pages"/paas.1 "$pages"/paas-*.1
  "$place/paas" man --output "$pages" 2>/dev/null
  write_completion bash "$share/bash-completion/completions/paas"
  write_completion zsh "$share/zsh/site-functions/_paas"
  write_completion fish "$share/fish/vendor_completions.d/paas.fish"
  say "Installed the manual pages and completion of paas in $share"
}

write_completion() { # shell file
  mkdir -p "$(dirname "$2")"
  "${setting[prefix]}/bin/paas" completion "$1" | write_if_changed "$2" 644 || true
}
