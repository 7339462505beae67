//! Pictures as training needs them: the bytes of a file in, the bytes of its pixels out, or the reason why not.
//!
//! [`decode()`] is strict: what is damaged or cut short is refused, never filled with gray. Limits are checked on the
//! header before a decoder allocates, and a decoder that panics is caught. [`Resizer`] cuts a region of an image and
//! resizes it at once. Nothing here is generic or knows what the pixels are for, so that the decoders and the resizer,
//! which are large, are compiled once, with this crate.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod decode;
pub mod header;
mod image;
mod resize;

pub use decode::{MAX_ASPECT, MAX_BYTES, MAX_FILE, MAX_PIXELS, MAX_SIDE, decode, quietly};
pub use image::{BadImage, Image};
pub use resize::Resizer;
