"""What is a secret in a text, and that nothing of it is left once it is masked."""

import string
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from snowcover.secrets import HIDDEN, is_secret_value, masked, masked_uri, masked_values, secrets_in

SCHEMES = st.sampled_from(["http", "https", "postgresql", "postgresql+psycopg2", "mysql+pymysql", "mssql+pyodbc"])
HOSTS = st.sampled_from(["mlflow.lab", "mlflow.lab:5000", "10.0.0.7:5432", "[::1]:5000"])
USERS = st.sampled_from(["", "me", "ana.b", "mlflow"])
# Told apart from all else in the text by its first sign; otherwise whatever people choose.
SIGNS = string.ascii_letters + string.digits + "/:@!$*()+,-._~%=|^"
SECRETS = st.text(SIGNS, min_size=3, max_size=20).map("§".__add__).filter(lambda secret: "://" not in secret)
PATHS = st.sampled_from(["", "/", "/mlflow", "/db/schema"])
PARAMETERS = st.sampled_from(
    ["password", "passwd", "PWD", "token", "sslpassword", "api_key", "sig", "key", "X-Amz-Signature", "pass%77ord"]
)
AROUND = st.sampled_from(
    [
        "{}", "MLflow is not at {} today", "Failed to parse: '{}'", "tracking.uri={}", "[{}, 'x']",
        "sqlite:///a.db and {}", '{{"uri": "{}"}}', "see http://mlflow.lab:5000/#/x or {}",
    ]
)  # fmt: skip


def addresses(secret: str) -> st.SearchStrategy[tuple[str, list[str]]]:
    """An address with the secret in it, and what of it is to stay readable."""
    with_password = st.builds(
        lambda scheme, user, host, path: (
            f"{scheme}://{user}:{secret}@{host}{path}", [f"{scheme}://{user}", host, path],
        ),
        SCHEMES, USERS, HOSTS, PATHS,
    )  # fmt: skip
    with_parameter = st.builds(
        lambda scheme, host, path, name: (
            f"{scheme}://{host}{path}?user=me&{name}={secret}&sslmode=require",
            [scheme, host, path, "user=me", name, "sslmode=require"],
        ),
        SCHEMES, HOSTS, PATHS, PARAMETERS,
    )  # fmt: skip
    return with_password | with_parameter


@settings(max_examples=150)
@given(data=st.data(), encoded=st.booleans())
def test_nothing_is_left_of_a_secret_and_the_rest_stays_readable(data: st.DataObject, encoded: bool) -> None:
    secret = data.draw(SECRETS)
    secret = quote(secret, safe="") if encoded else secret
    uri, readable = data.draw(addresses(secret))
    text = data.draw(AROUND).format(uri)
    for shown in (masked(text), masked_uri(uri), masked(masked_uri(uri), secrets_in(uri))):
        assert "§" not in shown and quote("§") not in shown
        assert secret not in shown
        assert HIDDEN in shown
        assert masked(shown) == shown
        assert all(part in shown for part in readable)
    assert masked_uri(masked_uri(uri)) == masked_uri(uri)
    assert secret in secrets_in(uri)


@settings(max_examples=150)
@given(st.text(st.sampled_from("ab:/@?&=;{}'\" \n%3AD-*") | st.characters(codec="utf-8"), max_size=60))
def test_masking_twice_is_masking_once(text: str) -> None:
    for mask in (masked, masked_uri):
        assert mask(mask(text)) == mask(text)


@pytest.mark.parametrize(
    "text",
    [
        "http://mlflow.lab:5000/#/experiments/1", "postgresql://mlflow@db.lab/mlflow?sslmode=require",
        "sqlite:////home/ana/mlflow.db?timeout=60&mode=rw", "s3://snow/ASO_3M_SD_20180528", "aws.kms_key=alias/a",
        "arn:aws:sagemaker:us-west-2:123456789012:mlflow-app/snow", "Values to give as key=value: uri; seed",
        "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or ask", "checkpoint.keep_last=true token_dim=64",
        '{"uri":"http://h:5000","owner":"ana@snow.org"}', "git@github.com:snow/cover.git", "epoch=3/20 val_iou=0.812",
        "0a1b2c3d4e5f60718293a4b5c6d7e8f901234567", "TOKENIZERS_PARALLELISM=false", "2018-05-28 18:11:10 tiles: 16",
    ],
)  # fmt: skip
def test_what_is_no_secret_stays_as_it_is(text: str) -> None:
    assert masked(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://u:p/w@h", "http://u:***@h"),
        ("https://hub-token@mlflow.lab/x", "https://***@mlflow.lab/x"),
        ("postgresql://h/db?user=me&password=a&b#c&sslmode=off", "postgresql://h/db?user=me&password=***&sslmode=off"),
        ("mssql:///?odbc_connect=UID%3Dme%3BPWD%3Dpw%3BS%3Dh", "mssql:///?odbc_connect=UID%3Dme%3BPWD%3D***%3BS%3Dh"),
        ("go?next=http%3A%2F%2Fu%3Apw%40h%2Fx", "go?next=http%3A%2F%2Fu%3A***%40h%2Fx"),
        ("x=http://h?password=pw", "x=http://h?password=***"),
        ("host=h user=me password='a b' port=1", "host=h user=me password='***' port=1"),
        ("aws.environment={DB_PASSWORD: x, A: b}", "aws.environment={DB_PASSWORD: ***, A: b}"),
        ('{"apiToken": "x y", "n": 1}', '{"apiToken": "***", "n": 1}'),
        ("password: correct horse\nuser: me", "password: ***\nuser: me"),
        ("MY_PWD=1234 TOKEN_LIMIT=512", "MY_PWD=*** TOKEN_LIMIT=512"),
        ("Authorization: Basic bWU6cHc=", "Authorization: Basic ***"),
        ("key AKIAIOSFODNN7EXAMPLE of hf_abcdefghijklmnopqrstuvwx", "key *** of ***"),
        ("PLAK0123456789abcdef0123456789abcdef", "***"),
        ("-----BEGIN RSA PRIVATE KEY-----\nMII\n-----END RSA PRIVATE KEY-----\nx", "***\nx"),
    ],
)  # fmt: skip
def test_each_kind_of_secret_is_hidden_and_nothing_else(text: str, shown: str) -> None:
    assert masked(text) == shown


def test_an_errors_text_is_masked_of_what_its_address_holds() -> None:
    uri = "postgresql://me:s3cr%2Ft-w0rd@db/x"
    said = 'could not log in as "me" with s3cr/t-w0rd, that is s3cr%2Ft-w0rd'
    assert masked(said, secrets_in(uri)) == 'could not log in as "me" with ***, that is ***'
    assert masked("pw: no power", secrets_in("http://me:pw@h")) == "***: no power"


def test_values_are_masked_at_any_depth_and_whole_below_a_name_that_says_so() -> None:
    values = {"a": [{"uri": "http://u:pw@h"}], "token": "x", "token_dim": 64, "db": {"password": 1234, "of": "me"}}
    assert masked_values(values) == {
        "a": [{"uri": "http://u:***@h"}], "token": "***", "token_dim": 64, "db": {"password": "***", "of": "me"},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "is_secret"),
    [
        ("MY_PWD", "x", True), ("DATABASE_URL", "postgres://u:pw@h/db", True), ("DB_PASS", "x", True),
        ("PIN_PASSWORD", "1", True), ("GDAL_HTTP_USERPWD", "u:p", True), ("PL_API_KEY", "x", True),
        ("SIGNING_KEY", "x", True), ("HF", "hf_" + "a1" * 12, True), ("X", "AKIAIOSFODNN7EXAMPLE", True),
        ("X", "wJalrXUtnFEMI/K7MDENG/bPxRfiCyEXAMPLE0KEY"[:40], True),
        ("PWD", "/home/ana", False), ("TOKENIZERS_PARALLELISM", "false", False), ("TOKEN_LIMIT", "512", False),
        ("KMS_KEY", "alias/snow", False), ("NCCL_DEBUG", "INFO", False), ("GDAL_CACHEMAX", "512", False),
        ("DATABASE_URL", "postgres://db/snow", False), ("MONKEY", "banana", False), ("COMMIT", "0a" * 20, False),
    ],
)  # fmt: skip
def test_a_variable_is_judged_by_its_name_and_its_content(name: str, value: str, is_secret: bool) -> None:
    assert is_secret_value(name, value) == is_secret


@pytest.mark.parametrize(
    "name", ["NoCredentials", "NoCredentialsError", "PartialCredentialsError", "TokenRetrievalError"]
)
def test_what_an_error_is_called_hides_nothing_of_its_text(name: str) -> None:
    text = f"{name}: there are none: run `aws sso login`, or set AWS_PROFILE"
    assert masked(text) == text
