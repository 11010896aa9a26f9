//! Craft: plain bytes to sealed bytes and back.
