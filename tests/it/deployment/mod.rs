//! Reading what a snapshot holds of a deployment, without any server.

mod commands;
mod dumps;
mod live;
mod places;
mod scene;
