"""A server of files on this machine, for what is downloaded."""

import contextlib
import http.server
import re
import threading


class Handler(http.server.BaseHTTPRequestHandler):
    """Sends the server's `files`; `asked` has the ranges that were asked for; `most` bytes go into one answer."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        server = self.server
        server.asked.append(self.headers.get("Range"))
        if server.gate is not None:
            server.gate.wait(10)
        content = server.files.get(self.path)
        if content is None:
            return self.send_error(404)
        start = int(re.findall(r"\d+", self.headers["Range"])[0]) if "Range" in self.headers else 0
        ranges = start and not server.without_ranges
        if ranges and start >= len(content):
            return self.send_error(416)
        self.send_response(206 if ranges else 200)
        if ranges:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        rest = content[start:] if ranges else content
        if not server.without_length:
            self.send_header("Content-Length", str(len(rest)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        self.wfile.write(rest[: server.most])
        return None

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def serving():
    """A server in another thread, whose `files` are path -> bytes, at `url`."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.files, server.asked, server.most, server.gate = {}, [], None, None
    server.without_ranges = server.without_length = False
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
