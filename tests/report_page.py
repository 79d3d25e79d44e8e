"""A written report, read again: its elements, its text, and the data of its figures."""

import base64
import gzip
import json
from html.parser import HTMLParser

import numpy as np


class Page(HTMLParser):
    """The elements and the text of a page."""

    def __init__(self, path):
        super().__init__()
        self.tags, self.words, self.data = [], [], None
        self._inside = None
        self.bytes = path.stat().st_size
        self.source = path.read_text("utf-8")
        self.feed(self.source)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self._inside = self.tags[-1]

    def handle_data(self, data):
        tag, attributes = self._inside or ("", {})
        if tag == "script" and attributes.get("id") == "data":
            self.data = json.loads(data)
        elif tag not in ("script", "style"):
            self.words.append(data)

    def handle_endtag(self, _):
        self._inside = None

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())

    def all(self, tag, **wanted):
        return [found for name, found in self.tags if name == tag and wanted.items() <= found.items()]

    def source_of(self, name):
        """The columns of a data source by its name."""

        def search(value):
            if isinstance(value, dict):
                if value.get("attributes", {}).get("name") == name and value.get("name") == "ColumnDataSource":
                    yield value["attributes"]["data"]
                for inner in value.values():
                    yield from search(inner)
            elif isinstance(value, list):
                for inner in value:
                    yield from search(inner)

        return next(search(self.data["documents"]))

    def image(self, name):
        (image,) = dict(self.source_of(name)["entries"])["image"]
        data = base64.b64decode(image["array"]["data"])
        if data.startswith(b"\x1f\x8b"):
            data = gzip.decompress(data)
        return np.frombuffer(data, image["dtype"]).reshape(image["shape"])
