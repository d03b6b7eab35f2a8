# Sourced by pages: a gate in front of a demo, some requests, and what it recorded of them in records.jsonl.

cat >audit-keys.json <<'END'
{"v":1,"keys":[{"id":"2026-11","algorithm":"HMAC-SHA-256","state":"active","secret":"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE"}]}
END
SPIN_VARIABLE_AUDIT_KEYS=$(cat audit-keys.json) cedargate up --dev --records records.jsonl >gate.log 2>&1 &
gate=$!
until grep -q '^no token' gate.log; do
    kill -0 "$gate" || { cat gate.log; return 1; }
    sleep 0.1
done
ask() {
    token=$1
    shift
    curl -s -o /dev/null -H "authorization: Bearer $token" "$@"
}
documents=http://$SPIN_HTTP_LISTEN_ADDR/api/documents
ask "$(cedargate token --sub eve --group readers)" "$documents/1"
ask "$(cedargate token --sub trudy)" "$documents/1"
ask "$(cedargate token --sub eve --group readers)" -X DELETE "$documents/3"
ask "$(cedargate token --sub eve --group readers --expires-in=-1h)" "$documents/1"
ask "$(cedargate token --sub carol --group admins)" "http://$SPIN_HTTP_LISTEN_ADDR/api/admin"
curl -s -o /dev/null "http://$SPIN_HTTP_LISTEN_ADDR/health"
kill -INT "$gate"
wait "$gate"
rm gate.log
