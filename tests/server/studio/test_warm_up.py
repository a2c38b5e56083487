"""What a studio loads, it loads before it serves: a frame that waits for an import is late, and those behind it are dropped."""

import subprocess
import sys

SERVING = """
import sys

import numpy as np

from server.studio import __main__
from engines.codecs.encode import Encoder
from engines.frame import Detections, Frame
from engines.pipeline import Pipeline, make_feed

known = set(sys.modules)
rng = np.random.default_rng(1)
pipeline, encoder = Pipeline(), Encoder("vp8", 640, 480)
feeds = [make_feed(name, 640, 480, delay=2) for name in ("redacted", "overlay", "raw", "fancam/1")]
for number in range(40):
    planes = (np.full(shape, 128, np.uint8) for shape in ((480, 640), (240, 320), (240, 320)))
    frame = Frame(*planes, 3000 * number, 0)
    low = np.array([[200, 200], [220, 200], [240, 210], [230, 230]]) + rng.normal(0, 12, (4, 2))
    boxes = np.hstack((low, low + 60)).astype(np.float32)
    found = Detections(
        boxes, np.full(4, 0.9, np.float32), np.zeros(4, np.int32), np.full((4, 5, 2), np.nan, np.float32),
        frame.rtp_time, 640, 480, complete=True,
    )
    analysed = pipeline.track(frame, found)
    for feed in feeds:
        shown = feed.render(analysed)
        if shown is not None:
            feed.release(shown)
slate = feeds[0].redactor.slate(640, 480, "waiting for video", 0)
encoder.encode(slate.picture.video_frame, 0, True)
print("loaded while serving:", *sorted(set(sys.modules) - known))
"""


def test_no_module_is_loaded_while_frames_are_served() -> None:
    done = subprocess.run([sys.executable, "-c", SERVING], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "loaded while serving:", done.stdout + done.stderr
