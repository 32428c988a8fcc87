"""The device side in C11 for devices without Python, and how it is compiled: `src/` and `build.py`.

The program needs libc and dlopen, and a tool of the device for SHA-256. It has the command line and the files of
`harness/agent/`, so the host does not know which of the two it talks to: what both must agree on stands in
harness/agent/contract.py, of which `header.py` makes the C side's `contract.h`. A device may have no usable C library,
so the loader and the libraries that libonnxruntime needs are always brought along: what could change a number is then
the same wherever it runs, and the fingerprint names it.

With the Android NDK, `edgeward build-runner --abi aarch64-linux-android --cc NDK/.../bin/aarch64-linux-android28-clang`
compiles the same sources against bionic. That has not been tried on a phone; it also needs a libonnxruntime.so that was
built for Android, which no wheel holds. Through `adb://` the GNU build with its own loader is what the harness brings.
"""
