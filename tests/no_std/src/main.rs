//! Links without the standard library, computes codes and a loss, and exits with 0 when they are right.
//!
//! An allocator, a panic handler and the entry point are what std would have brought. This is the one
//! place outside the engines' kernels with unsafe code.

#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec; // for `array!`
use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicUsize, Ordering};

use ndarray::{Array2, array};
use swav_core::loss::swapped::{Swapped, swapped};
use swav_core::{Rounds, codes, scores};

// The C library gives the entry point, and core's memcpy and memset.
#[link(name = "c")]
unsafe extern "C" {
    safe fn abort() -> !;
}

/// Prebuilt core names it; with panic = "abort" nothing calls it.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    abort()
}

const MEMORY: usize = 1 << 20;

/// Hands out memory from front to back and takes none back.
#[repr(align(64))]
struct Bump {
    memory: UnsafeCell<[u8; MEMORY]>,
    used: AtomicUsize,
}

// SAFETY: `used` gives each byte of `memory` to one allocation only, and nothing else touches it.
unsafe impl Sync for Bump {}

// SAFETY: every pointer is into `memory`, aligned and followed by `size` bytes that no other allocation
// has: `used` only grows, and grows past them in one atomic step.
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if layout.align() > 64 {
            return core::ptr::null_mut();
        }
        let claim = |used: usize| {
            let start = used.next_multiple_of(layout.align());
            start.checked_add(layout.size()).filter(|&end| end <= MEMORY)
        };
        match self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, claim) {
            Ok(used) => {
                let start = used.next_multiple_of(layout.align());
                self.memory.get().cast::<u8>().wrapping_add(start)
            }
            Err(_) => core::ptr::null_mut(),
        }
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static ALLOCATOR: Bump = Bump { memory: UnsafeCell::new([0; MEMORY]), used: AtomicUsize::new(0) };

/// 0 when everything is right, else the number of the first check that failed.
#[unsafe(no_mangle)]
extern "C" fn main(_: i32, _: *const *const u8) -> i32 {
    let checks = [balanced(), extreme(), loss()];
    checks.iter().position(|&right| !right).map_or(0, |check| check as i32 + 1)
}

/// Two samples that both prefer prototype 0: with many rounds each gets its own.
fn balanced() -> bool {
    let embeddings = array![[1.0_f32, 0.0], [0.8, 0.6]];
    let prototypes = array![[1.0_f32, 0.0], [0.0, 1.0]];
    let Ok(scores) = scores(&embeddings, &prototypes) else { return false };
    let Ok(q) = codes(&scores, Rounds { epsilon: 0.05, iterations: 100 }) else { return false };
    let rows = q.rows().into_iter().all(|row| (row.sum() - 1.0).abs() < 1e-6);
    rows && q[[0, 0]] > 0.99 && q[[1, 1]] > 0.99
}

/// Scores whose exponentials no number can hold.
fn extreme() -> bool {
    let scores = array![[400.0_f64, -400.0, 0.0], [-300.0, 350.0, 10.0], [5.0, 4.0, 390.0]];
    let Ok(q) = codes(&scores, Rounds::default()) else { return false };
    q.iter().zip(&Array2::<f64>::eye(3)).all(|(q, e)| (q - e).abs() < 1e-12)
}

/// Scores that say nothing cost ln 2 with two prototypes.
fn loss() -> bool {
    let loss = Swapped { views: 2, assign: &[0, 1], temperature: 0.1, batch_total: 1 };
    let q = array![[1.0_f64, 0.0], [0.5, 0.5]];
    match swapped(&Array2::zeros((2, 2)), &q, loss) {
        Ok((value, _)) => (value - core::f64::consts::LN_2).abs() < 1e-15,
        Err(_) => false,
    }
}
