#!/bin/sh
# Does what the image of Apache Kafka does: KAFKA_A_B in the environment is the setting a.b. The
# first time it formats the folder; then it runs the broker.
set -eu
file=/tmp/server.properties
env | sed -n 's/^KAFKA_\([A-Z_]*\)=/\1 /p' | while read -r name value; do
    case $name in
        HEAP_OPTS | JVM_PERFORMANCE_OPTS | LOG4J_OPTS | OPTS) ;;
        *) printf '%s=%s\n' "$(printf %s "$name" | tr A-Z_ a-z.)" "$value" ;;
    esac
done > "$file"

run() {
    # shellcheck disable=SC2086  several options in one variable, as Kafka's own scripts take them
    exec java ${KAFKA_HEAP_OPTS:-} -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -XX:-UsePerfData "$@"
}

(run kafka.tools.StorageTool format --ignore-formatted \
    --cluster-id "${CLUSTER_ID:-5L6g3nShT-eMCtK--X86sw}" --config "$file")
run kafka.Kafka "$file"
