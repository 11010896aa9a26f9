//! One binary for all tests that stand outside the library.

mod cli;
mod collect;
mod deployment;
mod document_vectors;
mod documents;
mod format_page;
mod format_records;
mod format_vectors;
mod histories;
mod local_store;
mod model;
mod mongo_backup;
mod mongo_source;
mod mongod;
mod mount;
mod queries;
mod reading;
mod restore;
mod round_trip;
mod s3;
mod second_reader;
mod sessions;
mod sink_hostile;
mod source_files;
mod tidy;
mod transcripts;
