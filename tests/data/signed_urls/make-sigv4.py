#!/usr/bin/env python3
"""Makes sigv4.json with botocore (PyPI). The credentials are AWS's documentation examples and of no use."""
import datetime
import itertools
import json
import pathlib
from unittest import mock

import botocore
import botocore.auth
import botocore.session
from botocore.config import Config

NOW = 1_799_834_400
KEYS = ["test.txt", "a b/c d.txt", "ünïcode/€.bin", "plus+sign", "100%", "a%20b", "tilde~x", "a//b", "q?x=1&y=2", "semi;colon:at@", "(paren)'s!*", "日本/語.mp4"]
PLACES = [
    # endpoint, host, https, region, style
    (None, "s3.eu-central-1.amazonaws.com", True, "eu-central-1", "virtual"),
    (None, "s3.eu-central-1.amazonaws.com", True, "eu-central-1", "path"),
    ("https://abc123.r2.cloudflarestorage.com", "abc123.r2.cloudflarestorage.com", True, "auto", "path"),
    ("https://abc123.r2.cloudflarestorage.com", "abc123.r2.cloudflarestorage.com", True, "auto", "virtual"),
    ("http://127.0.0.1:9000", "127.0.0.1:9000", False, "us-east-1", "path"),
    ("http://minio.example:9000", "minio.example:9000", False, "us-east-1", "virtual"),
]
# Fewer keys here: what differs is the place.
MORE_KEYS = ["test.txt", "a b/ü+%.txt", "a/../b/./c"]
MORE_PLACES = [
    (None, "s3.amazonaws.com", True, "us-east-1", "virtual"),
    (None, "s3.cn-north-1.amazonaws.com.cn", True, "cn-north-1", "virtual"),
    (None, "s3.cn-north-1.amazonaws.com.cn", True, "cn-north-1", "path"),
    # The port of the scheme stays in the URL and is not signed.
    ("https://minio.example:443", "minio.example:443", True, "us-east-1", "path"),
    ("http://minio.example:80", "minio.example:80", False, "us-east-1", "path"),
]
METHODS = {"GET": "get_object", "HEAD": "head_object", "PUT": "put_object", "DELETE": "delete_object"}
TOKENS = [None, "FwoGZXIvYXdzEXAMPLE//////////wEaDH+token=with/odd+chars=="]
EXTRA = [[], [["response-content-type", "text/plain; charset=utf-8"]], [["versionId", "v+1/ä"]]]
PARAMS = {"response-content-type": "ResponseContentType", "versionId": "VersionId"}


class Frozen(datetime.datetime):
    @classmethod
    def utcnow(cls):
        return cls.fromtimestamp(NOW, datetime.timezone.utc).replace(tzinfo=None)

    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(NOW, tz or datetime.timezone.utc)


def frozen(*_args, **_kwargs):
    return Frozen.now(datetime.timezone.utc)


cases = []
patches = [mock.patch.object(botocore.auth.datetime, "datetime", Frozen)] if hasattr(botocore.auth, "datetime") and not callable(botocore.auth.datetime) else []
for name in ("get_current_datetime", "datetime"):
    if callable(getattr(botocore.auth, name, None)):
        patches.append(mock.patch.object(botocore.auth, name, frozen if name == "get_current_datetime" else Frozen))
for patch in patches:
    patch.start()
for place, token in itertools.product(PLACES + MORE_PLACES, TOKENS):
    keys = KEYS if place in PLACES else MORE_KEYS
    endpoint, host, https, region, style = place
    session = botocore.session.Session()
    client = session.create_client(
        "s3", region_name=region, endpoint_url=endpoint,
        aws_access_key_id="AKIAIOSFODNN7EXAMPLE", aws_secret_access_key="wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", aws_session_token=token,
        config=Config(signature_version="s3v4", s3={"addressing_style": style}),
    )
    for index, (key, (method, operation)) in enumerate(itertools.product(keys, METHODS.items())):
        extra = EXTRA[index % 3] if method == "GET" else []
        expires = (1, 3600, 604800)[index % 3]
        params = {"Bucket": "media-bucket", "Key": key} | {PARAMS[name]: value for name, value in extra}
        url = client.generate_presigned_url(operation, Params=params, ExpiresIn=expires)
        assert "20270113T100000Z" in url, url
        cases.append({
            "access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "session_token": token,
            "https": https, "host": host, "region": region, "style": style, "bucket": "media-bucket", "method": method, "key": key,
            "query": extra, "now": NOW, "expires_in": expires, "url": url,
        })
out = pathlib.Path(__file__).with_name("sigv4.json")
head = {"made_by": f"botocore {botocore.__version__}, make-sigv4.py"}
out.write_text(json.dumps(head | {"cases": cases}, ensure_ascii=False, separators=(",", ":")).replace('{"access_key_id"', '\n{"access_key_id"') + "\n")
print(len(cases))
