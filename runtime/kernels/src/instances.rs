//! The generic kernels, compiled here for both types.
//!
//! A generic function is compiled in every crate that calls it, unless it is marked `#[inline(never)]` and one of the
//! crate's dependencies has compiled it for the same types already. The kernels are marked so; naming them here compiles
//! them, once, with this crate.

use crate::norm::{norm_apply, norm_backward_apply, norm_backward_sums, norm_sums};
use crate::pixels::normalise_bytes;
use crate::pool::{avg_pool_backward, avg_pool_forward, max_pool_backward, max_pool_forward};
use crate::unit::{l2_backward, l2_forward};

macro_rules! instances {
    ($($type:ident)*) => {
        /// Where they are; nobody needs to call this.
        pub fn addresses() -> Vec<*const ()> {
            vec![$(
                norm_sums::<$type> as *const (),
                norm_apply::<$type> as *const (),
                norm_backward_sums::<$type> as *const (),
                norm_backward_apply::<$type> as *const (),
                max_pool_forward::<$type> as *const (),
                max_pool_backward::<$type> as *const (),
                avg_pool_forward::<$type> as *const (),
                avg_pool_backward::<$type> as *const (),
                l2_forward::<$type> as *const (),
                l2_backward::<$type> as *const (),
                normalise_bytes::<$type> as *const (),
            )*]
        }
    };
}

instances!(f32 f64);
