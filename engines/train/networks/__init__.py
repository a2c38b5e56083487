"""The YOLOv5 networks in ten sizes, written here from their description, without anyone's weights: what speed is measured with."""
