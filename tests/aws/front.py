"""AWS's endpoint: counts every request, checks its signature and shape, then answers it here or with moto."""

import io
import json
import re
import socket
import threading
import traceback
from collections.abc import Iterable
from email.utils import format_datetime
from functools import cache
from typing import Any
from urllib.parse import parse_qs

import botocore.session
from botocore.model import ServiceModel
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import BaseWSGIServer, make_server

from tests.aws import rules
from tests.aws.account import Account
from tests.aws.faults import Faults
from tests.aws.responses import Environ, Refusal, Start, invalid, refuse, reset_connection, respond
from tests.aws.rights import refuse_without_right, service_permissions
from tests.aws.shapes import check_request
from tests.aws.signatures import Signed, check_signature

LAYERS = "/layers/"
CHANGING = re.compile(r"(Create|Stop|Delete|Update|Add|Put)")


class Front:
    """An HTTP server that answers as AWS's endpoints do."""

    def __init__(self, account: Account, faults: Faults) -> None:
        self.account, self.faults = account, faults
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._model = service_model()
        self.broken: list[str] = []
        """Errors of the fake itself, and calls that moto does not support."""
        self._lock = threading.RLock()  # for opening and closing
        self._turn = threading.RLock()  # one change at a time
        self._server: BaseWSGIServer | None = None
        self._reserved = socket.socket()
        self._thread = threading.Thread()
        self._port = 0
        self.open()

    @property
    def endpoint(self) -> str:
        """Its address, which stays the same while it is closed."""
        return f"http://127.0.0.1:{self._port}"

    def open(self) -> None:
        """Starts to listen, if it does not yet."""
        with self._lock:
            if self._server is not None:
                return
            self._reserved.close()
            server = make_server("127.0.0.1", self._port, self, threaded=True, request_handler=_Handler)
            self._server, self._port = server, server.port
            self._thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.02), daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Stops listening: connections are refused from now on."""
        with self._lock:
            if self._server is None:
                return
            self._server.shutdown()
            self._thread.join()
            self._server = None
            self._reserved = socket.socket()  # bound, not listening: reserves the port meanwhile
            self._reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._reserved.bind(("127.0.0.1", self._port))

    def end(self) -> None:
        """Closes for good."""
        self.close()
        self._reserved.close()

    def __call__(self, environ: Environ, start_response: Start) -> Iterable[bytes]:
        """Answers one request (WSGI)."""
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        environ["wsgi.input"] = io.BytesIO(body)
        if environ["PATH_INFO"].startswith(LAYERS):  # presigned URL
            return self._layer(environ, start_response)
        action = _action(environ, body)
        try:
            refusal = self.faults.arrive(action)
            if self.faults.network_is_lost:
                return reset_connection(environ)
            signed = check_signature(environ, body, self.account.secrets, self.faults.is_expired(), self.faults.now())
            if refusal is not None:
                raise refusal
            self._check_permission(signed, action, body)
            answer = self._answer(environ, start_response, action, body, signed)
        except Refusal as error:
            return refuse(environ, start_response, error)
        except ConnectionResetError:
            raise
        except Exception:
            self.broken.append(f"{action}: {traceback.format_exc()}")
            return refuse(environ, start_response, Refusal("InternalFailure", "the fake itself is broken", 500))
        if not self.faults.carried_out(action) or self.faults.network_is_lost:
            return reset_connection(environ)
        return answer

    def _check_permission(self, signed: Signed, action: str, body: bytes) -> None:
        account = self.account
        asked = service_permissions(signed.service, action, body, signed.region, account.id)
        refuse_without_right(account.policies, signed.key, asked, account.id)
        if signed.key in self.account.readers and CHANGING.match(action):
            wanted = f"{signed.service}:{action}"
            message = (
                f"User: arn:aws:iam::{self.account.id}:user/{signed.key} is not authorized to perform: {wanted} because"
                f" no identity-based policy allows the {wanted} action"
            )
            raise Refusal("AccessDeniedException", message)

    def _answer(
        self, environ: Environ, start_response: Start, action: str, body: bytes, signed: Signed
    ) -> Iterable[bytes]:
        if action == "GetDownloadUrlForLayer":  # which moto lacks
            digest = json.loads(body)["layerDigest"]
            return respond(
                start_response, 200, {"downloadUrl": f"{self.endpoint}{LAYERS}{digest}", "layerDigest": digest}
            )
        if signed.service != "sagemaker" or action not in self._model.operation_names:
            return self._moto(environ, start_response)
        request = json.loads(body or b"{}")
        shape = self._model.operation_model(action).input_shape
        if shape is not None:
            check_request(shape, request)
        with self._turn:
            answer = self._carry_out(action, request, signed.region)
        if answer is None:
            return self._moto(environ, start_response)
        return respond(start_response, 200, answer)

    def _layer(self, environ: Environ, start_response: Start) -> Iterable[bytes]:
        blob = self.account.layers.get(environ["PATH_INFO"].removeprefix(LAYERS))
        start_response("404 Not Found" if blob is None else "200 OK", [("Content-Type", "application/octet-stream")])
        return [blob or b""]

    def _carry_out(self, action: str, request: dict[str, Any], region: str) -> dict[str, Any] | None:
        """The response to actions that moto lacks or does not check; None for all others."""
        account, jobs, algorithms = self.account, self.account.jobs, self.account.algorithms
        match action:
            case "CreateTrainingJob":
                rules.check_training_job(request, account, region)
                return jobs.create(request, region, account.id)
            case "DescribeTrainingJob":
                return jobs.describe(request, region)
            case "StopTrainingJob":
                return jobs.stop(request, region)
            case "ListTrainingJobs":
                return jobs.list(request, region)
            case "CreateAlgorithm":
                rules.check_algorithm(request, account, region)
                return algorithms.create(request, region, account.id)
            case "DescribeAlgorithm":
                return algorithms.describe(request, region, account.id)
            case "DeleteAlgorithm":
                return algorithms.delete(request, region, account.id)
            case "ListAlgorithms":
                return algorithms.list(request, region)
            case "AddTags" | "ListTags" | "DeleteTags":
                return self._tags(action, request, region)
        return None

    def _tags(self, action: str, request: dict[str, Any], region: str) -> dict[str, Any] | None:
        kind, _, name = request["ResourceArn"].rpartition(":")[2].partition("/")
        if kind == "training-job":
            owner = self.account.jobs.get(name, region).request
        elif kind == "algorithm":
            owner = self.account.algorithms.get(request["ResourceArn"], region, self.account.id).request
        else:
            return None
        tags = {tag["Key"]: tag["Value"] for tag in owner.get("Tags", [])}
        if action == "AddTags":
            rules.check_tags(request["Tags"])
            tags |= {tag["Key"]: tag["Value"] for tag in request["Tags"]}
        elif action == "DeleteTags":
            tags = {key: value for key, value in tags.items() if key not in request["TagKeys"]}
        if len(tags) > 50:
            raise invalid("Too many tags: a resource has at most 50.")
        owner["Tags"] = [{"Key": key, "Value": value} for key, value in tags.items()]
        return {} if action == "DeleteTags" else {"Tags": owner["Tags"]}


@cache
def service_model() -> ServiceModel:
    """botocore's model of SageMaker: 4 MB of JSON, read once."""
    model: ServiceModel = botocore.session.Session().get_service_model("sagemaker")
    return model


class _Handler(MotoRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:
        """Logs nothing."""

    def date_time_string(self, timestamp: float | None = None) -> str:
        """The date of the response: AWS's own time."""
        front: Front = self.server.app  # type: ignore[assignment]
        return format_datetime(front.faults.now(), usegmt=True)


def _action(environ: Environ, body: bytes) -> str:
    """The API action that a request asks for."""
    target = str(environ.get("HTTP_X_AMZ_TARGET", "")).rpartition(".")[2]
    return target or parse_qs(body.decode(errors="replace")).get("Action", [str(environ["PATH_INFO"])])[0]
