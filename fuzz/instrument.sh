#!/bin/sh
# RUSTC_WORKSPACE_WRAPPER for fuzzing: coverage counters for libFuzzer in the workspace's own crates, on the stable compiler. Dependencies are built
# without them, so they are the very ones that the tests were built with.
exec "$@" \
    -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Copt-level=2
