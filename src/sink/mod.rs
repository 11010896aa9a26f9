//! Where plain bytes go back.
