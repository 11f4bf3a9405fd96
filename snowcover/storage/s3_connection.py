"""Who we are and where S3 is: everything taken from the ordinary AWS settings, by botocore.

Environment, ~/.aws (profiles, SSO, assumed roles, endpoint_url), a container's or a machine's role. On top:
AWS_REGION, which botocore leaves to others, and AWS_NO_SIGN_REQUEST=true for public buckets.
"""

import functools
import logging
import os
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from obstore.store import S3Store

if TYPE_CHECKING:
    from obstore.store import ClientConfig, S3Credential

# What can pass is tried again for about a minute: long enough for a throttled prefix, a restarting server or
# a router to come back, short enough that a wrong endpoint does not hold up a job.
RETRY_FOR_S = 60.0
RETRIES = 30  # more than fit into RETRY_FOR_S, so that the time decides
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 10.0
LIST_ATTEMPTS = 12  # botocore doubles its waits up to 20 s: half a minute, or somewhat over one when throttled

CONNECT_TIMEOUT_S = 5
SILENCE_TIMEOUT_S = 30  # without a byte from the server, which is silent while we send a part
REQUEST_TIMEOUT_S = 120

# obstore asks for credentials 5 minutes before the time it was given; botocore renews its own 10 minutes
# before they end. So those that are said to hold for 10 minutes never end while in use.
CREDENTIALS_HOLD = timedelta(minutes=10)

_lock = threading.RLock()  # botocore's sessions must not be built by several threads at once
_process_of_obstore: int | None = None


def client() -> Any:
    """botocore's S3 client, one for this process."""
    with _lock:
        return _client()


def store(bucket: str) -> S3Store:
    """obstore's way to a bucket, one for this process.

    Raises:
        RuntimeError: this process was forked from one that had used S3.
    """
    global _process_of_obstore
    with _lock:
        _process_of_obstore = _process_of_obstore or os.getpid()
        if _process_of_obstore != os.getpid():  # obstore's threads stay behind: a request would wait for ever
            raise RuntimeError("S3 was used before this process was forked: start it by 'spawn', not 'fork'")
        return _store(bucket)


def forget() -> None:
    """Drops all that was derived from the settings, so that changed ones hold."""
    with _lock:
        _session.cache_clear()
        _client.cache_clear()
        _store.cache_clear()


@functools.cache
def _session() -> Any:
    from botocore.session import Session

    logging.getLogger("botocore").setLevel(logging.WARNING)  # logs where it found credentials
    return Session()


@functools.cache
def _client() -> Any:
    from botocore import UNSIGNED
    from botocore.config import Config

    config = Config(
        s3={"addressing_style": "path"},  # other servers seldom have a host name per bucket; AWS takes both
        retries={"mode": "standard", "total_max_attempts": LIST_ATTEMPTS},
        connect_timeout=CONNECT_TIMEOUT_S,
        read_timeout=SILENCE_TIMEOUT_S,
        signature_version=UNSIGNED if _is_anonymous() else None,
    )
    region = os.environ.get("AWS_REGION") or _session().get_config_variable("region") or "us-east-1"
    return _session().create_client("s3", region_name=region, config=config)


@functools.cache
def _store(bucket: str) -> S3Store:
    endpoint = _client().meta.endpoint_url
    return S3Store(
        bucket,
        aws_endpoint_url_s3=endpoint,
        region=_client().meta.region_name,
        virtual_hosted_style_request=False,
        skip_signature=_is_anonymous(),
        credential_provider=None if _is_anonymous() else _credential_provider(),
        client_options=_client_options(endpoint),
        retry_config={
            "max_retries": RETRIES,
            "retry_timeout": timedelta(seconds=RETRY_FOR_S),
            "backoff": {
                "init_backoff": timedelta(seconds=FIRST_WAIT_S),
                "max_backoff": timedelta(seconds=LONGEST_WAIT_S),
                "base": 2,
            },
        },
    )


def _client_options(endpoint: str) -> "ClientConfig":
    options: ClientConfig = {
        "allow_http": endpoint.startswith("http://"),
        "connect_timeout": timedelta(seconds=CONNECT_TIMEOUT_S),
        "read_timeout": timedelta(seconds=SILENCE_TIMEOUT_S),
        "timeout": timedelta(seconds=REQUEST_TIMEOUT_S),
    }
    own_certificates = _session().get_config_variable("ca_bundle")  # AWS_CA_BUNDLE, as botocore takes it
    if own_certificates:
        options["root_certificate"] = Path(own_certificates).read_bytes()
    return options


def _is_anonymous() -> bool:
    return os.environ.get("AWS_NO_SIGN_REQUEST", "").lower() in ("true", "yes", "1")


def _credential_provider() -> "Callable[[], S3Credential]":
    """A function that obstore calls for credentials, again and again where they expire."""
    from botocore.credentials import RefreshableCredentials
    from botocore.exceptions import NoCredentialsError

    credentials = _session().get_credentials()
    if credentials is None:
        raise NoCredentialsError()
    expires = isinstance(credentials, RefreshableCredentials)

    def provide() -> "S3Credential":
        frozen = credentials.get_frozen_credentials()  # renews them when they are about to end
        return {
            "access_key_id": frozen.access_key,
            "secret_access_key": frozen.secret_key,
            "token": frozen.token,
            "expires_at": datetime.now(UTC) + CREDENTIALS_HOLD if expires else None,
        }

    return provide
