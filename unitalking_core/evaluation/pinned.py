"""The versions of what pip cannot bring into the pack's own environment. Nothing is imported here: what installs them has nothing yet."""

MEDIAPIPE = "0.10.21"
RHUBARB_PACKAGE = "rhubarb-lip-sync-wasm"
RHUBARB = "0.1.8"
