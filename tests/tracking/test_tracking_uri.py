"""Which stores a rented machine can reach, told from their addresses alone."""

import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snowcover.tracking_uri import absolute, misread, only_here, ui_hint
from snowcover.validation import ConfigError
from tests.making import config

ARN = "arn:aws:sagemaker:us-west-2:123456789012:mlflow-tracking-server/snow"
names = st.text(string.ascii_lowercase + string.digits, min_size=1, max_size=12)
schemes = st.sampled_from(["http", "https", "postgresql", "mysql+pymysql"])
ports = st.one_of(st.just(""), st.integers(1, 65535).map(lambda port: f":{port}"))


@pytest.mark.parametrize(
    "uri",
    [
        "sqlite:///mlflow.db", "sqlite:////srv/mlflow.db", "sqlite+pysqlite:///m.db", "file:///srv/mlruns", "mlruns",
        "./mlruns", "/srv/mlruns", r"C:\mlruns", "", "http://localhost:5000", "http://LOCALHOST", "http://localhost.:1",
        "http://127.1:5000", "http://[::1]:5000", "http://[::ffff:127.0.0.1]", "http://0.0.0.0:5000", "http://[::]:1",
        "http://ada:secret@localhost:5000/mlflow", "http://mlflow.localhost:5000",
    ],
)  # fmt: skip
def test_files_and_the_machine_s_own_servers_are_only_here(uri: str) -> None:
    assert only_here(uri)


@pytest.mark.parametrize(
    "uri",
    [
        ARN, "http://mlflow.lab:5000", "http://10.0.0.1:5000", "http://[2001:db8::1]:5000", "databricks",
        "databricks://profile", "http://localhost.lab.org", "http://localhost@mlflow.lab", "http://127.0.0.1.nip.io",
        "postgresql://localhost:secret@db.lab/mlflow", "http://[::1",
    ],
)  # fmt: skip
def test_other_machines_are_not(uri: str) -> None:
    assert not only_here(uri)


@given(schemes, st.ip_addresses(v=4, network="127.0.0.0/8"), ports, names)
def test_every_loopback_address_is_only_here(scheme: str, host: object, port: str, path: str) -> None:
    assert only_here(f"{scheme}://{host}{port}/{path}")
    assert only_here(f"{scheme}://{path}:{path}@{host}{port}")


@given(schemes, st.lists(names, min_size=2, max_size=4), ports, names)
def test_every_name_of_another_machine_is_reachable(scheme: str, labels: list[str], port: str, path: str) -> None:
    host = ".".join([*labels, "org"])
    assert not only_here(f"{scheme}://{host}{port}/{path}")


@given(st.text(max_size=30))
def test_no_text_whatever_is_an_error(uri: str) -> None:
    assert only_here(uri) in (True, False)


def test_a_managed_server_without_its_arn_is_reported_with_the_variable_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SNOWCOVER_MLFLOW_ARN", raising=False)
    with pytest.raises(ConfigError, match=r"^tracking\.uri: environment variable 'SNOWCOVER_MLFLOW_ARN' not found\.$"):
        config("tracking=sagemaker_mlflow")
    monkeypatch.setenv("SNOWCOVER_MLFLOW_ARN", ARN)
    assert config("tracking=sagemaker_mlflow").tracking.uri == ARN


@pytest.mark.parametrize(
    ("uri", "same"),
    [
        ("sqlite:///mlflow.db", "sqlite:////home/ada/snow/mlflow.db"),
        ("sqlite:///runs/mlflow.db?timeout=60", "sqlite:////home/ada/snow/runs/mlflow.db?timeout=60"),
        ("sqlite+pysqlite:///mlflow.db", "sqlite+pysqlite:////home/ada/snow/mlflow.db"),
        ("sqlite:////srv/mlflow.db", "sqlite:////srv/mlflow.db"),
        ("sqlite:///:memory:", "sqlite:///:memory:"),
        ("http://mlflow.lab:5000", "http://mlflow.lab:5000"),
        (ARN, ARN),
    ],
)
def test_a_relative_store_stays_the_same_whatever_the_working_folder_becomes(uri: str, same: str) -> None:
    assert absolute(uri, Path("/home/ada/snow")) == same
    assert absolute(same, Path("/elsewhere")) == same


def test_a_home_folder_is_found_and_a_path_with_spaces_can_be_pasted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ada")
    assert absolute("sqlite:///~/mlflow.db", Path("/elsewhere")) == "sqlite:////home/ada/mlflow.db"
    assert ui_hint("sqlite:////my snow/mlflow.db") == "mlflow ui --backend-store-uri 'sqlite:////my snow/mlflow.db'"


@pytest.mark.parametrize("uri", ["sqlite:////what?/mlflow.db", "sqlite:////a%20b/mlflow.db", "sqlite:///m.db?x"])
def test_an_address_that_sqlite_reads_otherwise_is_known(uri: str) -> None:
    assert misread(uri)
    assert not misread("sqlite:////a b/mlflow.db?timeout=60&mode=rw")
