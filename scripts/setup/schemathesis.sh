# The client that fuzzes the API by its description, in a Python environment of its own. Sourced after apt.sh.

# Each version is named, so that a run can be repeated.
schemathesis_requirements=$root/tests/fuzz/requirements.txt
schemathesis_env=$target_dir/schemathesis

schemathesis_install() {
    if cmp -s "$schemathesis_requirements" "$schemathesis_env/installed.txt"; then return; fi
    have python3 && python3 -c 'import venv, ensurepip' 2>/dev/null ||
        apt_install "half a minute" python3 python3-venv
    say "installing schemathesis (half a minute)"
    # An environment that was left half made is made again.
    rm -rf "$schemathesis_env"
    python3 -m venv "$schemathesis_env"
    "$schemathesis_env/bin/pip" install --quiet --disable-pip-version-check --require-virtualenv \
        --requirement "$schemathesis_requirements" >&2
    cp "$schemathesis_requirements" "$schemathesis_env/installed.txt"
}
