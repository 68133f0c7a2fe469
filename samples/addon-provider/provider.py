#!/usr/bin/env python3
"""A provider of add-ons, by Heroku's Add-on Partner API v3 and Python's standard library alone.

    provider.py [PORT]      says on its first line where it listens, and prints its manifest with --manifest URL

Of the plan `dev` one has an add-on at once. Of `slow` it takes a moment: the provider exchanges the grant that it got,
tells what the add-on gives, and says when it is there. PAAS_API is where it reaches the platform's API, where that is not
as the platform says itself. What it provides is a key that it keeps in memory; a real one would have a database, or a mail
server, or whatever it is there for.
"""

import base64
import hashlib
import hmac
import json
import os
import secrets
import sys
import threading
import time
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NAME, PASSWORD, SALT, CLIENT_SECRET = "sample-keys", "known to both sides", "salt of the sample", "the provider's own"
KEPT = {}  # by uuid, so that whoever is asked twice gives the same


def manifest(url):
    return {
        "id": NAME,
        "name": "Sample Keys",
        "api": {
            "version": "3",
            "config_vars_prefix": "SAMPLE_KEYS",
            "config_vars": ["SAMPLE_KEYS_URL"],
            "password": PASSWORD,
            "sso_salt": SALT,
            "client_secret": CLIENT_SECRET,
            "requires": ["attachable", "many_per_app"],
            "production": {"base_url": f"{url}/heroku/resources", "sso_url": f"{url}/sso"},
        },
        "$paas": {
            "plans": [
                {"name": "dev", "human_name": "Development", "default": True},
                {"name": "large", "human_name": "Large", "price": {"cents": 500, "unit": "month"}},
                {"name": "slow", "human_name": "Slow"},
            ]
        },
    }


def call(method, url, body, token=None, form=False):
    data = urllib.parse.urlencode(body).encode() if form else json.dumps(body).encode()
    kind = "application/x-www-form-urlencoded" if form else "application/json"
    headers = {"Accept": "application/vnd.heroku+json; version=3", "Content-Type": kind}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    request = urllib.request.Request(url, data, headers, method=method)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def make_slowly(asked, config):
    """What a provider does that has answered 202: from a thread of its own, and again where that fails."""
    callback = asked["callback_url"]
    api = os.environ.get("PAAS_API") or callback[: callback.index("/addons/")]
    addon = f"{api}/addons/{asked['uuid']}"
    grant = {
        "grant_type": "authorization_code",
        "code": asked["oauth_grant"]["code"],
        "client_secret": CLIENT_SECRET,
    }
    for _ in range(20):
        try:
            token = call("POST", f"{api}/oauth/token", grant, form=True)["access_token"]
            vars = [{"name": name, "value": value} for name, value in config.items()]
            call("PATCH", f"{addon}/config", {"config": vars}, token)
            call("POST", f"{addon}/actions/provision", {}, token)
            return
        except OSError as error:
            print(f"could not tell the platform: {error}", file=sys.stderr, flush=True)
            time.sleep(1)


class Provider(BaseHTTPRequestHandler):
    def answer(self, status, body=None):
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def read(self):
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def is_platform(self):
        expected = "Basic " + base64.b64encode(f"{NAME}:{PASSWORD}".encode()).decode()
        if hmac.compare_digest(self.headers.get("Authorization") or "", expected):
            return True
        self.answer(401, {"message": "Who are you?"})
        return False

    def do_POST(self):
        body = self.read()
        if self.path == "/sso":
            return self.enter(dict(urllib.parse.parse_qsl(body.decode())))
        if self.path != "/heroku/resources":
            return self.answer(404)
        if not self.is_platform():
            return
        asked = json.loads(body)
        if asked["options"].get("refuse"):
            return self.answer(422, {"message": "No keys are left."})
        key = KEPT.setdefault(asked["uuid"], secrets.token_hex(8))
        config = {"SAMPLE_KEYS_URL": f"keys://{key}@keys.example.com"}
        if asked["plan"] == "slow":
            threading.Thread(target=make_slowly, args=(asked, config), daemon=True).start()
            return self.answer(202, {"id": asked["uuid"], "message": "Your key is being cut."})
        self.answer(201, {"id": asked["uuid"], "config": config, "message": "Your key is ready."})

    def do_PUT(self):
        plan = json.loads(self.read()).get("plan")
        if self.is_platform():
            self.answer(200, {"message": f"Your key is {plan} now."})

    def do_DELETE(self):
        self.read()
        if self.is_platform():
            gone = KEPT.pop(self.path.rsplit("/", 1)[-1], None)
            self.answer(204 if gone else 410)

    def enter(self, form):
        """Somebody's browser, with the platform's word for who it is; good for two minutes."""
        signed = f"{form.get('resource_id')}:{SALT}:{form.get('timestamp')}"
        token = hashlib.sha1(signed.encode()).hexdigest()
        is_good = hmac.compare_digest(token, form.get("resource_token") or "")
        if not is_good or time.time() - int(form["timestamp"]) > 120:
            return self.answer(403, {"message": "That is no word of the platform's."})
        self.answer(200, {"welcome": form["email"], "app": form["app"]})

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    if "--manifest" in sys.argv:
        print(json.dumps(manifest(sys.argv[-1]), indent=2))
    else:
        server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if sys.argv[1:] else 0), Provider)
        print(f"http://127.0.0.1:{server.server_port}", flush=True)
        server.serve_forever()
