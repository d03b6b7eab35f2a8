#!/usr/bin/env python3
"""Makes akamai.json with Akamai's own implementation (PyPI: akamai-edgeauth)."""
import itertools
import json
import pathlib

from akamai.edgeauth import EdgeAuth

KEY = "52a152a152a152a152a152a152a1aabb"
cases = []
for mode, start, ip, escape in itertools.product(("url", "acl"), (None, 1_799_834_400), (None, "192.0.2.7", "2001:db8::1"), (False, True)):
    for path in ["/v/1.mp4", "/a%20b/(c)'", "/v/日本"] if mode == "url" else ["/v/*", "/a%20b/*", "/v/1.mp4"]:
        auth = EdgeAuth(key=KEY, ip=ip, start_time=start, end_time=1_799_838_000, escape_early=escape)
        token = auth.generate_acl_token(path) if mode == "acl" else auth.generate_url_token(path)
        cases.append({"key": KEY, "mode": mode, "path": path, "start": start, "expires": 1_799_838_000, "ip": ip, "escape": escape, "token": token})
out = pathlib.Path(__file__).with_name("akamai.json")
out.write_text(json.dumps({"made_by": "akamai-edgeauth 0.3.2, make-akamai.py", "cases": cases}, indent=1, ensure_ascii=False) + "\n")
print(len(cases))
