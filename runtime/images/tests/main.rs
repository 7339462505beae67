//! Decoding and resizing, from outside: tests inside of the crate would compile the resizer once more.

mod decode;
mod header;
mod image;
mod resize;
