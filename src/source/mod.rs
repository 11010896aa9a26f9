//! Where plain bytes come from.
