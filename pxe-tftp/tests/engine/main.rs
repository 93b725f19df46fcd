//! The engine against model clients, in virtual time.

mod client;
mod fairness;
mod integrity;
mod limits;
mod rules;
mod world;
