#!/usr/bin/env python3
"""Makes cloudfront.json with botocore's CloudFrontSigner (PyPI: botocore, cryptography) and the tests' own RSA key."""
import datetime
import itertools
import json
import pathlib

import botocore
from botocore.signers import CloudFrontSigner
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding

here = pathlib.Path(__file__).parent
key = serialization.load_pem_private_key((here / "../identity/test-only-rsa-2048-private.pem").read_bytes(), None)
signer = CloudFrontSigner("K2JCJMDEHXQW5F", lambda message: key.sign(message, padding.PKCS1v15(), hashes.SHA1()))
URLS = ["https://d111111abcdef8.cloudfront.net/image.jpg", "https://d111111abcdef8.cloudfront.net/a%20b/%E2%82%AC.mp4?color=red&size=medium", "http://cdn.example.com/~x/'(y)'", "https://cdn.example.com/a?b=c&d"]
utc = lambda seconds: datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
cases = []
for url, expires in itertools.product(URLS, (1_767_290_400, 1_799_838_000)):
    cases.append({"url": url, "expires": expires, "resource": None, "signed": signer.generate_presigned_url(url, date_less_than=utc(expires))})
    for resource, start, ip in [(url, None, None), (url, expires - 3600, "192.0.2.0/24"), ("https://cdn.example.com/v/*", None, "203.0.113.7/32"), ("https://cdn.example.com/v/*", 1_767_000_000, None)]:
        policy = signer.build_policy(resource, utc(expires), date_greater_than=utc(start) if start else None, ip_address=ip)
        cases.append({"url": url, "expires": expires, "resource": resource, "not_before": start, "ip": ip, "signed": signer.generate_presigned_url(url, policy=policy)})
(here / "cloudfront.json").write_text(json.dumps({"made_by": f"botocore {botocore.__version__}, make-cloudfront.py", "cases": cases}, indent=1) + "\n")
print(len(cases))
