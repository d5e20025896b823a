#!/usr/bin/env bash
# Installs what Permille needs and builds it, on Debian 12 or newer and Ubuntu 24.04 or newer. Started again it only does what is missing.
#
#     packaging/setup.sh [--preset release|dev|asan|tsan] [--cuda] [--torch DIR] [--no-build] [--skip-packages] [--jobs N]
#
# --preset NAME    what is built (CMakePresets.json), into build/NAME; release without it
# --cuda           also gets the CUDA part of libtorch (4.6 GB), for machines with an NVIDIA GPU
# --torch DIR      your own libtorch 2.11: an unpacked archive, or the folder of the torch package in a virtual environment
# --no-build       installs only
# --skip-packages  leaves the system's packages alone: you have the libraries from elsewhere
# --jobs N         compilers at a time; by default as many as cores and memory allow
#
# Needs root (or sudo) only when system packages are missing. Everything else stays inside the repository: third_party/ and build/.
set -euo pipefail
cd "$(dirname "$0")/.."

preset=release cuda='' torch_root='' build=1 packages=1 jobs='' work=''
say() { echo "setup: $*" >&2; }
fail() { say "$1"; shift; for line in "$@"; do echo "       $line" >&2; done; exit 1; }
usage() { sed -n '4,13s/^# \{0,1\}//p' "$0" >&2; exit 2; }

while [ $# -gt 0 ]; do
    case $1 in
        --preset) preset=${2:-}; shift ;;
        --cuda) cuda=1 ;;
        --torch) torch_root=${2:-}; shift; [ -d "$torch_root" ] || fail "--torch '$torch_root' is not a folder" "Give the folder that holds lib/ and include/." ;;
        --no-build) build= ;;
        --skip-packages) packages= ;;
        --jobs) jobs=${2:-}; shift ;;
        -h | --help) usage ;;
        *) echo "setup: unknown option $1" >&2; usage ;;
    esac
    shift || usage
done
case $preset in release | dev | asan | tsan | cuda) ;; *) echo "setup: there is no preset '$preset'" >&2; usage ;; esac

# Two at once would unpack into the same folder.
mkdir -p third_party
exec 9>third_party/.lock
flock -n 9 || { say "another setup is at work here; waiting for it"; flock 9; }

# 1. System packages.
install_packages() {
    local wanted missing=() package
    mapfile -t wanted < <(grep -v '^#' packaging/packages.txt)
    if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
        local name='this system'
        # shellcheck source=/dev/null
        [ ! -r /etc/os-release ] || name=$(. /etc/os-release && echo "${PRETTY_NAME:-$NAME}")
        fail "$name has no apt; this script knows Debian and Ubuntu" \
            "Install the counterparts of these packages by hand and start again with --skip-packages:" "${wanted[*]}"
    fi
    local installed
    installed=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "${wanted[@]}" 2>/dev/null || true)
    for package in "${wanted[@]}"; do
        grep -q "^$package installed$" <<<"$installed" || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0

    local version
    # shellcheck source=/dev/null
    version=$( . /etc/os-release 2>/dev/null && echo "${ID:-} ${VERSION_ID:-0}")
    case $version in
        "debian "[0-9] | "debian "1[01]) fail "Debian ${version#* } is too old: its Qt and CMake are older than 6.4 and 3.25" "Use Debian 12 or newer." ;;
        "ubuntu "1* | "ubuntu "2[0-3].*) fail "Ubuntu ${version#* } is too old: its Qt and CMake are older than 6.4 and 3.25" "Use Ubuntu 24.04 or newer." ;;
    esac

    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        if command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
            as_root=(sudo)
        else
            fail "${#missing[@]} system packages are missing and this is not root. Ask an administrator for:" \
                "apt-get update && apt-get install -y --no-install-recommends ${missing[*]}" "then start this again."
        fi
    fi
    say "installing ${#missing[@]} system packages: ${missing[*]}"
    local log
    log=$(mktemp)
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q update >"$log" 2>&1 || true
    if ! "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends "${missing[@]}" >>"$log" 2>&1; then
        grep -E '^(E|W|Err):' "$log" | tail -n 6 >&2
        if grep -qE 'Temporary failure|Could not (resolve|connect)|Failed to fetch|Unable to locate package' "$log"; then
            fail "the package servers cannot be reached or do not have these packages (full log: $log)" \
                "Check the network and /etc/apt/sources.list*, then start this again. On Ubuntu the 'universe' component is needed."
        fi
        fail "apt-get could not install the packages (full log: $log)"
    fi
    rm -f "$log"
}

# 2. libtorch, unpacked from its wheels: only the libraries and headers.
unpack_wheels() {  # FOLDER_OF_WHEELS TARGET WITH_CUDA
    python3 - "$@" <<'PYTHON'
import pathlib, sys, zipfile
wheels, target, with_cuda = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3] == "1"
for wheel in sorted(wheels.glob("*.whl")):
    if not wheel.name.startswith(("torch-", "nvidia_")):
        continue  # what only Python needs
    with zipfile.ZipFile(wheel) as archive:
        for name in archive.namelist():
            leaf = name.rsplit("/", 1)[-1]
            wanted = name.startswith(("torch/lib/", "torch/include/")) or (name.startswith("nvidia/") and "/lib/" in name) or "/licenses/" in name
            if name.startswith("torch/lib/") and "python" in leaf:
                wanted = False
            if not with_cuda and name.startswith("torch/lib/") and any(word in leaf for word in ("cuda", "nvrtc", "nvshmem")):
                wanted = False
            if leaf.endswith(".a"):
                wanted = False
            if wanted:
                archive.extract(name, target)
PYTHON
}

install_libtorch() {
    local kind=cpu stamp=third_party/libtorch/INSTALLED wanted
    [ -z "$cuda" ] || kind=cuda
    wanted="$kind $(sha256sum <packaging/libtorch.txt | cut -c1-16)"
    # A CUDA one serves machines without a GPU as well.
    if [ -s "$stamp" ] && { [ "$(cat "$stamp")" = "$wanted" ] || [ "$(cat "$stamp")" = "cuda ${wanted#* }" ]; }; then
        return 0
    fi
    [ "$(uname -m)" = x86_64 ] || fail "libtorch is fetched for x86_64 only; this machine is $(uname -m)" "Give your own: --torch DIR."
    python3 -m pip --version >/dev/null 2>&1 || fail "python3 has no pip, which fetches libtorch" "apt-get install -y python3-pip, or give your own libtorch: --torch DIR."
    local need=2 free
    [ -z "$cuda" ] || need=10
    free=$(df -Pk third_party | awk 'NR == 2 { print int($4 / 1048576) }')
    [ "$free" -ge "$need" ] || fail "libtorch needs $need GB of disk while it is unpacked; $free GB are free" "Make room, or give your own: --torch DIR."

    say "getting libtorch ($kind) from the Python package index"
    local platforms=(--platform manylinux2014_x86_64) minor
    work=$(mktemp -d third_party/.libtorch.XXXXXX)
    trap 'rm -rf "$work"' EXIT
    for minor in $(seq 17 28); do platforms+=(--platform "manylinux_2_${minor}_x86_64"); done
    local pip=(python3 -m pip --disable-pip-version-check download -q --dest "$work/wheels" --only-binary=:all: --implementation cp --python-version 3.12
        "${platforms[@]}")
    # The same wheels whatever Python is here: nothing of them is run by it. The CUDA part is what torch itself names, in those versions.
    if ! "${pip[@]}" --no-deps --require-hashes -r packaging/libtorch.txt 2>"$work/log" ||
        { [ -n "$cuda" ] && ! "${pip[@]}" torch==2.11.0 2>"$work/log"; }; then
        tail -n 5 "$work/log" >&2
        fail "libtorch cannot be fetched" "Check the network and pip's settings (pip config list), or give your own: --torch DIR."
    fi
    say "unpacking libtorch"
    unpack_wheels "$work/wheels" "$work/libtorch" "${cuda:-0}"
    echo "$wanted" >"$work/libtorch/INSTALLED"
    rm -rf third_party/libtorch
    mv "$work/libtorch" third_party/libtorch
    rm -rf "$work"
    trap - EXIT
}

# 3. Configure and build.
build() {
    local folder=build/$preset arguments=(-DTorch_ROOT="${torch_root:+$(cd "$torch_root" && pwd)}") memory
    case $preset in release | cuda) arguments+=(-DBUILD_TESTING=OFF) ;; esac
    for tool in cmake ninja c++; do
        command -v $tool >/dev/null || fail "$tool is not on this machine" "Start again without --skip-packages, or install it."
    done
    # Ninja configures again by itself when a CMake file changes; other arguments or another place of the repository need it here.
    if [ ! -e "$folder/build.ninja" ] || [ "$(cat "$folder/configured" 2>/dev/null)" != "$PWD ${arguments[*]}" ]; then
        say "configuring $folder"
        mkdir -p "$folder"
        if ! cmake --fresh --preset "$preset" "${arguments[@]}" >"$folder/configure.log" 2>&1; then
            grep -A 12 -m 1 'CMake Error' "$folder/configure.log" >&2 || tail -n 20 "$folder/configure.log" >&2
            fail "CMake could not configure the build (full log: $folder/configure.log)"
        fi
        echo "$PWD ${arguments[*]}" >"$folder/configured"
    fi
    if [ -z "$jobs" ]; then
        # A source that sees libtorch takes up to 1.5 GB of memory.
        memory=$(awk '/MemAvailable/ { print int($2 / 1572864) }' /proc/meminfo)
        jobs=$(nproc)
        [ "$memory" -ge "$jobs" ] || jobs=$((memory > 1 ? memory : 1))
    fi
    cmake --build "$folder" -j "$jobs" >&2 || fail "the build failed; the compiler's messages are above"
}

[ -z "$packages" ] || install_packages
[ -n "$torch_root" ] || install_libtorch
[ -z "$build" ] || build
