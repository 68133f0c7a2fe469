"""A Flask app whose answers show which config, release and dyno they come from."""

import os
import threading
import time

from flask import Flask, jsonify, request
from flask_sock import Sock
from simple_websocket import ConnectionClosed

app = Flask(__name__)
sock = Sock(app)

open_sockets = set()
open_sockets_lock = threading.Lock()
leaving = threading.Event()


@app.get("/")
def index():
    env = os.environ.get
    body = f"Hello from {env('POWERED_BY', 'paas')} {env('HEROKU_RELEASE_VERSION', '')} {env('DYNO', '')}\n"
    return body, {"Content-Type": "text/plain"}


@app.get("/slow")
def slow():
    time.sleep(request.args.get("ms", 1000, type=int) / 1000)
    return "slow\n", {"Content-Type": "text/plain"}


@app.get("/env")
def environment():
    return jsonify(dict(os.environ))


@sock.route("/ws")
def echo(ws):
    with open_sockets_lock:
        open_sockets.add(ws)
    try:
        if leaving.is_set():
            ws.close(1001, "going away")
        while True:
            ws.send(ws.receive())
    except ConnectionClosed:
        pass
    finally:
        with open_sockets_lock:
            open_sockets.discard(ws)


def close_sockets():
    """Tells every WebSocket client to go and come back, to another dyno by then."""
    leaving.set()
    with open_sockets_lock:
        sockets = list(open_sockets)
    for ws in sockets:
        try:
            ws.close(1001, "going away")
        except ConnectionClosed:
            pass
