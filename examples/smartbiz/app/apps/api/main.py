"""The API: says hello, and which release says it."""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

RELEASE = "one"


def answer(path):
    if path == "/healthz":
        return 200, {"status": "ok"}
    if path == "/":
        return 200, {"service": "smartbiz-api", "release": RELEASE}
    return 404, {"error": "not found"}


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        status, body = answer(self.path)
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *args):
        pass


if __name__ == "__main__":
    ThreadingHTTPServer(("", int(os.environ.get("PORT", "8080"))), Handler).serve_forever()
