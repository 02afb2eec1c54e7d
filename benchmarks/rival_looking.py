"""How soon embedding-atlas shows a first picture of many images whose vectors are there, as medfeat is asked to.

FiftyOne wants a MongoDB server, see `docs/rivals.md`.
"""

from __future__ import annotations

import io
import shutil
import socket
import threading
import time
import urllib.request
from pathlib import Path

import numpy as np
from PIL import Image

import watched

PORT = 5067


def pack(npz, store, out):
    """Write images and vectors as one Parquet file, which embedding-atlas reads; nothing of it is timed."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from medfeat_cache import FeatureStore

    with np.load(npz) as arrays, FeatureStore(store) as kept:
        images = np.concatenate([arrays[f"{group}_images"] for group in kept.groups])
        labels = np.concatenate([arrays[f"{group}_labels"] for group in kept.groups]).ravel()
        X = np.concatenate([np.array(kept.embeddings(group)) for group in kept.groups])
    columns = {
        "label": labels.tolist(),
        "image": pa.array([{"bytes": as_png(image)} for image in images]),
        "vector": pa.FixedSizeListArray.from_arrays(pa.array(X.ravel()), X.shape[1]),
    }
    pq.write_table(pa.table(columns), out)
    return out


def as_png(image):
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG")
    return stream.getvalue()


def first_picture(port, seen, facts):
    """Open the page as soon as it answers; note when, when it shows pictures, and whether a map."""
    from playwright.sync_api import sync_playwright

    begin, url = time.perf_counter(), f"http://localhost:{port}/"
    while not answers(url):
        time.sleep(0.5)
        if seen.is_set():
            return
    facts["answers_after"] = time.perf_counter() - begin
    where = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))))
    with sync_playwright() as running:
        browser = running.chromium.launch(executable_path=where, args=["--no-sandbox"], timeout=300_000)
        tab = browser.new_page()
        tab.goto(url, timeout=300_000)
        tab.wait_for_selector("canvas, img", timeout=300_000)
        facts["shown_after"] = time.perf_counter() - begin
        time.sleep(5)  # until the map says whether it can be drawn
        facts["map_drawn"] = "WebGPU is unavailable" not in tab.inner_text("body")
        seen.set()
        browser.close()


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=2) as page:
            return page.status == 200
    except OSError:
        return False


def free_port():
    with socket.socket() as one:
        one.bind(("localhost", 0))
        return one.getsockname()[1]


def embedding_atlas(rivals, parquet, limit=900.0):
    """Run its command until a browser shows the map; return what it took."""
    port, seen, facts = free_port(), threading.Event(), {}
    command = [Path(rivals) / "embedding-atlas" / "bin" / "embedding-atlas", parquet, "--vector", "vector"]
    command += ["--image", "image", "--port", port, "--no-auto-port"]
    looker = threading.Thread(target=first_picture, args=(port, seen, facts), daemon=True)
    looker.start()
    done = watched.run(command, env={"PYTHONPATH": ""}, limit=limit, until=seen.is_set)
    seen.set()
    return {**done, **facts}
