#!/usr/bin/env bash
# Fuzzes for SECONDS (60), side by side, the targets named after it (all): routing_lp, coverage-guided
# by libFuzzer on the stable toolchain, and table_readers, by atheris.
#
#     fuzz/run.sh [SECONDS [TARGET...]]
#
# Exit status: 0 nothing found, 77 nothing could be run (the last line says why), else a finding.
# PYTHON names the interpreter that has stageroute and atheris installed (python). FUZZ_SEED fixes
# the inputs and FUZZ_RUNS bounds their number, so that a run can be repeated; random and unbounded
# without them.
set -uo pipefail
cd "$(dirname "$0")/.."

LEFT_OUT=77
seconds=${1:-60}
shift $(($# > 0 ? 1 : 0))
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(routing_lp table_readers)
limits=("-max_total_time=$seconds" "-runs=${FUZZ_RUNS:--1}" "-seed=${FUZZ_SEED:-0}" -print_final_stats=1)

routing_lp() {
    local compiler=${CXX:-c++}
    for tool in cargo "$compiler"; do
        command -v "$tool" >/dev/null || {
            echo "left out: $tool is missing, which builds libFuzzer"
            return $LEFT_OUT
        }
    done
    local host
    host=$(rustc -vV | sed -n 's/^host: //p')
    # What cargo-fuzz sets, less what needs the nightly toolchain.
    local flags="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters
        -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares
        --cfg fuzzing"
    RUSTFLAGS=$(tr -s '\n ' ' ' <<<"$flags") cargo build --quiet --release --locked \
        --manifest-path fuzz/Cargo.toml --target-dir fuzz/target --target "$host" || return
    # Without a corpus of earlier runs: a fixed seed is to give the same inputs everywhere.
    mkdir -p fuzz/artifacts/routing_lp
    "fuzz/target/$host/release/routing_lp" "${limits[@]}" -max_len=1024 -timeout=10 \
        -error_exitcode=1 -artifact_prefix=fuzz/artifacts/routing_lp/
}

table_readers() {
    PYTHONHASHSEED=0 "${PYTHON:-python}" fuzz/fuzz_table_readers.py "${limits[@]}"
}

logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
declare -A running
for target in "${targets[@]}"; do
    case $target in
    routing_lp | table_readers) ;;
    *) echo "no target $target: routing_lp, table_readers" && exit 2 ;;
    esac
    "$target" >"$logs/$target" 2>&1 &
    running[$target]=$!
done

failed=0 ran=0
for target in "${targets[@]}"; do
    wait "${running[$target]}"
    status=$?
    case $status in
    0)
        ran=1
        executions=$(sed -n 's/^stat::number_of_executed_units: *//p' "$logs/$target")
        echo "$target: nothing found in $executions executions"
        ;;
    "$LEFT_OUT") echo "$target: $(tail -n 1 "$logs/$target")" ;;
    *)
        failed=$status
        echo "$target: status $status"
        tail -n 60 "$logs/$target"
        ;;
    esac
done
[ $failed -eq 0 ] || exit $failed
[ $ran -eq 1 ] || exit $LEFT_OUT
