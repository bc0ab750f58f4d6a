"""docker-compose.yml as `make compose` changes it before it is tried."""

import re
from copy import deepcopy
from typing import Any

from deploy.images.composition import images, left_open, tried
from deploy.images.trial import EXAMPLE, FILE

# As `docker compose config --format json` prints it.
PORT = {"mode": "ingress", "host_ip": "127.0.0.1", "target": 8000, "published": "8000"}
COMPOSITION: dict[str, Any] = {
    "name": "wattline-trial",
    "services": {
        "api": {
            "build": {"target": "api"},
            "image": "wattline-api",
            "read_only": True,
            "ports": [PORT],
            "depends_on": {"kafka": {"condition": "service_healthy"}},
        },
        "kafka": {"image": "apache/kafka:4.1.1", "ports": [PORT | {"published": "9092"}]},
        "page": {
            "image": "grafana/grafana:12.3.0",
            "depends_on": {"api": {"condition": "service_healthy"}},
        },
        "probe": {"image": "other", "depends_on": {"page": {}, "kafka": {}}},
    },
    "volumes": {"kafka": {"name": "wattline-trial_kafka"}},
}


def test_images_that_are_not_ours_are_those_without_a_build() -> None:
    assert images(COMPOSITION) == {
        "kafka": "apache/kafka:4.1.1",
        "page": "grafana/grafana:12.3.0",
        "probe": "other",
    }


def test_only_images_ports_and_what_is_left_out_are_changed() -> None:
    before = deepcopy(COMPOSITION)
    changed = tried(COMPOSITION, stand_ins={"kafka": "stand-in"}, left_out=["page"])
    free = {name: value for name, value in PORT.items() if name != "published"}
    assert changed == {
        "name": "wattline-trial",
        "services": {
            "api": {
                "image": "wattline-api",
                "read_only": True,
                "ports": [free],
                "depends_on": {"kafka": {"condition": "service_healthy"}},
            },
            "kafka": {"image": "stand-in", "ports": [free]},
            "probe": {"image": "other", "depends_on": {"kafka": {}}},
        },
        "volumes": {"kafka": {"name": "wattline-trial_kafka"}},
    }
    assert before == COMPOSITION


def test_the_example_leaves_open_what_the_file_must_be_given() -> None:
    wanted = re.findall(r"\$\{(\w+):\?", FILE.read_text())
    assert set(wanted) == set(left_open(EXAMPLE.read_text()))


def test_a_name_that_has_a_value_or_is_a_comment_is_not_open() -> None:
    assert left_open("# A=\nB=\nC=1\n\nD= \n") == ["B", "D"]
