# Sourced. phase NAME COMMAND...: runs a command, says how many seconds it took, however it ends,
# and adds that to the file $PHASES.
phase() {
    local name=$1 start=$SECONDS status=0
    shift
    "$@" || status=$?
    local line="$((SECONDS - start)) $name"
    echo "$line" >>"$PHASES"
    echo "seconds: $line"
    return "$status"
}
