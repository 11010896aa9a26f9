//! Reading what a snapshot holds of a deployment, without any server.

mod commands;
mod dumps;
mod places;
mod scene;
