"""A page that says which dyno and release served it. Nothing but Python's standard library."""

import html
import os
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{greeting}</title>
<style>body {{ font: 18px/1.6 system-ui, sans-serif; max-width: 34em; margin: 4em auto; padding: 0 1em }}</style>
<h1>{greeting}</h1>
<p>Served by <b>{dyno}</b>, release <b>{release}</b>.</p>
<p>Change this page and push again, or without a push:</p>
<pre>paas config:set GREETING="Good morning"</pre>
</html>
"""


class Hello(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        page = PAGE.format(
            greeting=html.escape(os.environ.get("GREETING", "Hello from paas")),
            dyno=html.escape(os.environ.get("DYNO", "no dyno")),
            release=html.escape(os.environ.get("HEROKU_RELEASE_VERSION", "unknown")),
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(page)

    do_HEAD = do_GET


def main():
    port = int(os.environ.get("PORT", "5000"))
    server = ThreadingHTTPServer(("", port), Hello)
    # The platform says SIGTERM: answer what has begun, then go.
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    print(f"Listening on {port}", flush=True)
    server.serve_forever()
    server.server_close()
    print("Stopped", flush=True)


if __name__ == "__main__":
    sys.exit(main())
