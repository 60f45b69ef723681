#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
#
# Proves the dashboards and rules of contrib/: a real Prometheus scrapes a real controller with fake
# guests, and every query of every panel has to return a number.
#
# usage: check-dashboards.py [ADDRESS]     (make check-metrics builds what it needs)
#
# With the address of a metrics endpoint, such as 127.0.0.1:9786, the controller there is scraped.

import json
import math
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILD = ROOT / os.environ.get("AEROSTAT_BUILD", "build")
DEADLINE_S = 120
GUESTS = "6"


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def ask(port, path, **parameters):
    url = f"http://127.0.0.1:{port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return json.load(answer)["data"]
    except urllib.error.HTTPError as error:
        sys.exit(f"{parameters}: {error.read().decode()}")
    except OSError:
        return None


def write_config(folder, instance):
    """The shipped configuration, scraping one controller once a second."""
    shipped = ROOT / "contrib/prometheus"
    for rules in shipped.glob("aerostat.*.yml"):
        shutil.copy(rules, folder)
    text = (shipped / "prometheus.yml").read_text()
    text = text.replace("127.0.0.1:9786", instance)
    text = text.replace("scrape_interval: 15s", "scrape_interval: 1s\n  evaluation_interval: 1s")
    (folder / "prometheus.yml").write_text(text)


def panel_queries(instance):
    """(where it stands, query) of every panel, with Grafana's variables filled in."""
    for path in sorted((ROOT / "contrib/grafana").glob("*.json")):
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                query = target["expr"].replace("$__rate_interval", "1m")
                query = query.replace("$instance", instance).replace("$guest", ".*")
                yield f"{path.name}, {panel['title']}", query


def returns_a_number(port, query):
    data = ask(port, "query", query=query)
    return data and any(math.isfinite(float(row["value"][1])) for row in data["result"])


def is_well_formed(instance):
    """What promtool says of the page itself; it says nothing when all is well."""
    page = urllib.request.urlopen(f"http://{instance}/metrics", timeout=10).read()
    return subprocess.run(["promtool", "check", "metrics"], input=page, check=False).returncode == 0


def check(port, instance):
    queries = list(panel_queries(instance))
    end = time.monotonic() + DEADLINE_S
    while queries and time.monotonic() < end:
        time.sleep(1)
        queries = [entry for entry in queries if not returns_a_number(port, entry[1])]
    for place, query in queries:
        print(f"no data: {place}: {query}", file=sys.stderr)
    groups = ask(port, "rules")["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    broken = [rule for rule in rules if rule["health"] != "ok"]
    for rule in broken:
        print(f"rule {rule['name']}: {rule.get('lastError')}", file=sys.stderr)
    count = len(list(panel_queries(instance)))
    print(f"{count - len(queries)} of {count} queries return data, "
          f"{len(rules) - len(broken)} of {len(rules)} rules evaluate")
    return not queries and not broken


def main():
    metrics_port, port = free_port(), free_port()
    running = sys.argv[1:]
    instance = running[0] if running else f"127.0.0.1:{metrics_port}"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_config(folder, instance)
        fake_host = [BUILD / "tests/metrics/fake-host", GUESTS, str(metrics_port)]
        prometheus = ["prometheus", f"--config.file={folder}/prometheus.yml",
                      f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{port}"]
        programs = [prometheus] if running else [fake_host, prometheus]
        log = (folder / "log").open("w")
        children = [subprocess.Popen(program, cwd=ROOT, stdout=log, stderr=log)
                    for program in programs]
        try:
            passed = check(port, instance) and is_well_formed(instance)
        finally:
            for child in children:
                child.terminate()
                child.wait()
        if not passed:
            print((folder / "log").read_text()[-4000:], file=sys.stderr)
    return 0 if passed else 1


sys.exit(main())
