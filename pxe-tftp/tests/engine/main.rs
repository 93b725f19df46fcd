//! The engine against model clients, in virtual time.

mod client;
mod integrity;
mod limits;
mod rules;
mod world;
