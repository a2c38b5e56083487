"""A face blur as a user of MediaPipe would write it: full-range detector, Gaussian blur, x264 with the settings given.

python mediapipe_blur.py IN.mp4 OUT.mp4 [PRESET] [CRF]
"""

import sys

import av
import cv2
import mediapipe as mp


def main(source: str, target: str, preset: str = "veryfast", crf: str = "23") -> None:
    finder = mp.solutions.face_detection.FaceDetection(model_selection=1, min_detection_confidence=0.5)
    with av.open(source) as inp, av.open(target, "w") as out:
        video = inp.streams.video[0]
        stream = out.add_stream("libx264", rate=video.average_rate, options={"preset": preset, "crf": crf})
        stream.width, stream.height, stream.pix_fmt = video.width, video.height, "yuv420p"
        for index, frame in enumerate(inp.decode(video)):
            picture = frame.to_ndarray(format="rgb24")
            height, width = picture.shape[:2]
            for found in finder.process(picture).detections or []:
                box = found.location_data.relative_bounding_box
                grow_x, grow_y = 0.15 * box.width, 0.15 * box.height
                x0, y0 = max(0, int((box.xmin - grow_x) * width)), max(0, int((box.ymin - grow_y) * height))
                x1 = min(width, int((box.xmin + box.width + grow_x) * width))
                y1 = min(height, int((box.ymin + box.height + grow_y) * height))
                if x1 > x0 and y1 > y0:
                    size = max(3, (x1 - x0) // 2 | 1)
                    picture[y0:y1, x0:x1] = cv2.blur(picture[y0:y1, x0:x1], (size, size))
            coded = av.VideoFrame.from_ndarray(picture, format="rgb24")
            coded.pts = index
            out.mux(stream.encode(coded))
        out.mux(stream.encode())


if __name__ == "__main__":
    main(*sys.argv[1:])
