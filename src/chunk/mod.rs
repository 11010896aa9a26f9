//! Craft: content cut into chunks.
