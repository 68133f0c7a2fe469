# shellcheck shell=bash
# paasd and paas: built here, or brought along, and put in their place. Needs steps.sh, packages.sh, user.sh, settings.sh and
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
