"""The twenty tasks: what Taskonomy's affinities call them, and what its PyTorch files do."""

#: In the order of the paper's code. The files' names are those of the `visualpriors` package, with
#: `_encoder-`, the SHA-256 of the content and `.pth` behind.
FILES = {
    "autoencoder": "autoencoding",
    "curvature": "curvature",
    "denoise": "denoising",
    "edge2d": "edge_texture",
    "edge3d": "edge_occlusion",
    "keypoint2d": "keypoints2d",
    "keypoint3d": "keypoints3d",
    "colorization": "colorization",
    "reshade": "reshading",
    "rgb2depth": "depth_zbuffer",
    "rgb2mist": "depth_euclidean",
    "rgb2sfnorm": "normal",
    "room_layout": "room_layout",
    "segment25d": "segment_unsup25d",
    "segment2d": "segment_unsup2d",
    "vanishing_point": "vanishing_point",
    "segmentsemantic": "segment_semantic",
    "class_1000": "class_object",
    "class_places": "class_scene",
    "inpainting_whole": "inpainting",
}
