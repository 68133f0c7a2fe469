import os
import signal
import threading

bind = f"0.0.0.0:{os.environ.get('PORT', '5000')}"
worker_class = "gthread"
threads = 64
preload_app = True
# Longer than a router keeps an idle connection, so that it is never the server who closes one in use.
keepalive = 95
# A dyno's /tmp may be a disk; heartbeats belong in memory.
worker_tmp_dir = "/dev/shm"


def post_worker_init(worker):
    """On SIGTERM gunicorn finishes requests; a WebSocket is one without end, so it is told to close."""
    stop = signal.getsignal(signal.SIGTERM)

    def stop_and_close(signum, frame):
        stop(signum, frame)
        from app import close_sockets

        threading.Thread(target=close_sockets, daemon=True).start()

    signal.signal(signal.SIGTERM, stop_and_close)
