# Sourced by pages: a keyring for signed URLs, as a deployment has it.

export SPIN_VARIABLE_SIGNED_URL_KEYS='{"v":1,"keys":[{"id":"2026-11","algorithm":"HMAC-SHA-256","state":"active","secret":"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE"}]}'
