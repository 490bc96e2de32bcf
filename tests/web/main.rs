//! The HTTP API over a real journal and a real state.

mod access;
mod export;
mod index;
mod injection;
mod caches;
mod changes;
mod client;
mod openapi;
mod orders;
mod own_write;
mod pages;
mod paths;
mod reads;
mod store;
mod stream;
mod subscriber;
