//! Craft: the records that lie in a repository, and their codecs.
