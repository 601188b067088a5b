"""The description in OpenAPI, and a fuzzer that reads it."""
from __future__ import annotations

import re
import subprocess
import sys

import pytest
from conftest import heavy

pytest.importorskip("starlette", reason="a server needs the extra [serve]: pip install '.[serve]'")
pytest.importorskip("uvicorn", reason="a server needs the extra [serve]: pip install '.[serve]'")

from http_tools import ask  # noqa: E402
from serving_tools import NAME, serving  # noqa: E402

from coral_classify import Classifier  # noqa: E402

TOKEN = "a-secret-of-many-characters"


def test_every_address_of_the_description_is_there_and_every_reference_leads_somewhere(model, any_engine):
    with Classifier(str(model), device="cpu") as classifier, serving(classifier) as port:
        described = ask(port, "GET", "/openapi.json")[1]
        assert described["openapi"].startswith("3.0") and "security" not in described
        names = [way["operationId"] for ways in described["paths"].values() for way in ways.values()]
        assert len(set(names)) == len(names)
        for path, ways in described["paths"].items():
            for method in ways:
                status = ask(port, method.upper(), path.format(name=NAME, version="1"), b"")[0]
                assert status not in (404, 405) and str(status) in ways[method]["responses"], (method, path)

        def references(part):
            if isinstance(part, dict):
                yield from [part["$ref"]] if "$ref" in part else []
                part = list(part.values())
            if isinstance(part, list):
                for one in part:
                    yield from references(one)
        for reference in references(described):
            assert reference.rsplit("/", 1)[1] in described["components"]["schemas"]


def test_where_a_token_is_needed_the_description_says_so(model, any_engine):
    with Classifier(str(model), device="cpu") as classifier, serving(classifier, token=TOKEN) as port:
        for path in ("/openapi.json", "/metrics", "/v2/health/live", "/"):
            assert ask(port, "GET", path)[0] == 401
        described = ask(port, "GET", "/openapi.json", headers={"Authorization": "Bearer " + TOKEN})[1]
        assert described["security"] == [{"token": []}]


def test_a_fuzzer_finds_no_mistake_and_no_answer_that_is_not_described(model, any_engine, tmp_path):
    heavy("schemathesis")
    with Classifier(str(model), device="cpu") as classifier, serving(classifier) as port:
        # Bytes at random are no picture, and are rightly refused.
        done = subprocess.run(
            [sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()", "run",
             "http://127.0.0.1:%d/openapi.json" % port, "--max-examples", "40", "--seed", "1", "--no-color",
             "--exclude-checks", "positive_data_acceptance"],
            cwd=str(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
        assert done.returncode == 0, done.stdout[-4000:]
        tested = int(re.search(r"Tested: +(\d+)", done.stdout).group(1))
        assert tested >= 12, done.stdout[-4000:]
        assert ask(port, "GET", "/v2/health/ready")[0] == 200
