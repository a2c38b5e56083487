#!/usr/bin/env bash
# A wheel of pycuda for the tests, built without a GPU or its driver:  build_pycuda.sh PYTHON FOLDER
# Needs g++, Python's headers, and CUDA's in $CUDA_HOME or /usr/local/cuda.
set -euo pipefail
python=$1 wheels=$2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# It is linked with the driver, whose name is all that the linker wants to see.
g++ -x c /dev/null -shared -Wl,-soname,libcuda.so.1 -o "$work/libcuda.so"
"$python" -m pip download --quiet --no-deps --no-binary pycuda --dest "$work" "pycuda>=2026.1,<2027"
tar -xzf "$work"/pycuda-*.tar.gz -C "$work" --strip-components=1
cat > "$work/siteconf.py" <<END
CUDA_ROOT = "${CUDA_HOME:-/usr/local/cuda}"
CUDADRV_LIB_DIR = ["$work"]
CUDA_ENABLE_CURAND = False
END
CFLAGS="-O0 -g0" "$python" -m pip wheel --quiet --no-deps --wheel-dir "$wheels" "$work"
