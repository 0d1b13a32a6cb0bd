#!/usr/bin/env bash
# Builds every plugin under examples/ and evil/ to dist/NAME.wasm. A second run with the same sources is instant, in any checkout.
#
# Rust comes from rustup, with its wasm32-unknown-unknown target. Where that target can't be had (no rustup, or no network but Debian's), Debian's
# rustc-web is unpacked into the cache folder, without installing it, and the standard library is built from source: two minutes, once.
# LAKEBOX_WASM_TOOLCHAIN=rustup|debian forces one of them.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

cache=${XDG_CACHE_HOME:-$HOME/.cache}/lakebox
target=wasm32-unknown-unknown
mkdir -p "$cache/plugins" dist

exec 9>"$cache/plugins/lock"
flock 9

sources() { find . -type f -not -path './dist/*' -not -path './target/*' -print0 | LC_ALL=C sort -z; }
key=$({ echo "${LAKEBOX_WASM_TOOLCHAIN:-}"; sources | xargs -0 sha256sum; } | sha256sum | cut -c1-24)
built=$cache/plugins/$key

if [[ -f dist/.key && $(<dist/.key) == "$key" ]]; then
  exit 0
fi

rustup_target() {
  command -v rustup >/dev/null && timeout 180 rustup target add "$target" >/dev/null 2>&1
}

# Unpacks Debian's matching compiler, cargo and library sources, and says where.
debian_toolchain() {
  command -v apt-get >/dev/null && command -v dpkg >/dev/null || return 1
  local version root
  version=$(apt-cache policy rustc-web | sed -n 's/^ *Candidate: *//p')
  [[ -n $version && $version != "(none)" ]] || return 1
  root=$cache/rust-web-$(tr -c 'A-Za-z0-9.\n' _ <<<"$version")
  if [[ ! -f $root/.complete ]]; then
    echo "plugins: unpacking Debian's rustc-web $version (once, about 150 MB)" >&2
    mkdir -p "$root/debs"
    local wanted=() name
    while read -r name; do
      dpkg-query -W -f '${Status}' "$name" 2>/dev/null | grep -q 'ok installed' || wanted+=("$name")
    done < <(apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces --no-enhances \
      rustc-web cargo-web rust-web-src | grep -E '^[a-z0-9]' | grep -v ':' | sort -u)
    (cd "$root/debs" && apt-get download -q "${wanted[@]}" >/dev/null 2>&1) || return 1
    for deb in "$root"/debs/*.deb; do dpkg -x "$deb" "$root"; done
    rm -r "$root/debs"
    touch "$root/.complete"
  fi
  echo "$root/usr"
}

linker() {
  local found
  for found in "$(rustc --print sysroot 2>/dev/null)"/lib/rustlib/*/bin/rust-lld "$(command -v wasm-ld || true)" "$(command -v rust-lld || true)"; do
    [[ -x $found ]] && { echo "$found"; return; }
  done
  return 1
}

guests=(build --locked --release --workspace --exclude componentize --target "$target" --target-dir "$cache/plugins/target")
tool=(build --locked --profile tool -p componentize --target-dir "$cache/plugins/target")

build_with_rustup() {
  echo "plugins: building with $(rustc --version)" >&2
  cargo "${guests[@]}" && cargo "${tool[@]}"
}

build_with_debian() {
  local root lld
  root=$(debian_toolchain) || { echo "plugins: Debian's rustc-web can't be had here" >&2; return 1; }
  lld=$(linker) || { echo "plugins: no linker for WebAssembly; install lld or rustup" >&2; return 1; }
  echo "plugins: building with Debian's $(LD_LIBRARY_PATH=$root/lib/x86_64-linux-gnu "$root/bin/rustc" --version)" >&2
  env LD_LIBRARY_PATH="$root/lib/x86_64-linux-gnu" RUSTC="$root/bin/rustc" RUSTC_BOOTSTRAP=1 RUSTUP_TOOLCHAIN= \
    CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER="$lld" "$root/bin/cargo" "${guests[@]}" -Zbuild-std=std,panic_abort &&
    env LD_LIBRARY_PATH="$root/lib/x86_64-linux-gnu" RUSTC="$root/bin/rustc" "$root/bin/cargo" "${tool[@]}"
}

if [[ ! -d $built ]]; then
  # Flags and target folders of an outer build are not meant for guests.
  unset CARGO_TARGET_DIR RUSTFLAGS CARGO_ENCODED_RUSTFLAGS CARGO_BUILD_TARGET
  case ${LAKEBOX_WASM_TOOLCHAIN:-} in
    rustup) rustup_target && build_with_rustup ;;
    debian) build_with_debian ;;
    *) if rustup_target; then build_with_rustup; else build_with_debian; fi ;;
  esac || { echo "plugins: could not be built; give rustup the target ($target) or use Debian 12 or newer" >&2; exit 1; }
  fresh=$(mktemp -d "$cache/plugins/new.XXXXXX")
  trap 'rm -rf "$fresh"' EXIT
  for manifest in examples/*/Cargo.toml evil/*/Cargo.toml; do
    grep -q cdylib "$manifest" || continue
    crate=$(sed -n 's/^name = "\(.*\)"/\1/p' "$manifest" | head -1)
    "$cache/plugins/target/tool/componentize" "$cache/plugins/target/$target/release/$crate.wasm" "$fresh/$crate.wasm"
  done
  mv -T "$fresh" "$built"
fi

find dist -name '*.wasm' -delete
cp "$built"/*.wasm dist/
echo "$key" >dist/.key
echo "plugins: $(ls dist/*.wasm | wc -l) in plugins/dist" >&2
