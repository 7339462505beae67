//! A folder of array files, and `swav ot` run inside it.

use std::path::PathBuf;

use ndarray::{Array1, Array2};
use swav::npy::{self, Npy, Values, View};
use swav::npz;
use swav_conformance::inputs;

use crate::program::{Said, command};

/// A folder of array files.
#[derive(Debug)]
pub struct Arrays {
    folder: tempfile::TempDir,
}

impl Arrays {
    /// An empty one.
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    /// A path inside.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a matrix as float64.
    pub fn matrix(&self, name: &str, x: &Array2<f64>) {
        let values: Vec<f64> = x.iter().copied().collect();
        npy::write(&self.path(name), &[x.nrows(), x.ncols()], View::F64(&values)).unwrap();
    }

    /// Writes a matrix as float32.
    pub fn single_matrix(&self, name: &str, x: &Array2<f64>) {
        let values: Vec<f32> = x.iter().map(|&x| x as f32).collect();
        npy::write(&self.path(name), &[x.nrows(), x.ncols()], View::F32(&values)).unwrap();
    }

    /// Writes a vector as float64.
    pub fn vector(&self, name: &str, x: &Array1<f64>) {
        npy::write(&self.path(name), &[x.len()], View::F64(&x.to_vec())).unwrap();
    }

    /// Writes a vector as float32.
    pub fn single_vector(&self, name: &str, x: &Array1<f64>) {
        let values: Vec<f32> = x.iter().map(|&x| x as f32).collect();
        npy::write(&self.path(name), &[x.len()], View::F32(&values)).unwrap();
    }

    /// Writes bytes.
    pub fn bytes(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.path(name), bytes).unwrap();
    }

    /// Reads an array that the program wrote.
    pub fn read(&self, name: &str) -> Npy {
        npy::read(&self.path(name)).unwrap()
    }

    /// Reads a matrix that the program wrote, of either type.
    ///
    /// # Panics
    /// If it is none.
    pub fn read_matrix(&self, name: &str) -> Array2<f64> {
        let Npy { shape, values } = self.read(name);
        assert_eq!(shape.len(), 2, "{name} is no matrix");
        Array2::from_shape_vec((shape[0], shape[1]), wide(values)).unwrap()
    }

    /// Reads a vector that the program wrote, of either type.
    ///
    /// # Panics
    /// If it is none.
    pub fn read_vector(&self, name: &str) -> Array1<f64> {
        let Npy { shape, values } = self.read(name);
        assert_eq!(shape.len(), 1, "{name} is no vector");
        wide(values).into()
    }

    /// Reads the members of an archive that the program wrote.
    pub fn read_members(&self, name: &str) -> Vec<(String, Array1<f64>)> {
        let members = npz::read(&self.path(name)).unwrap();
        members.into_iter().map(|(name, x)| (name, wide(x.values).into())).collect()
    }

    /// `swav ot` with these arguments, separated by spaces; names of files are those inside.
    pub fn ot(&self, args: &str) -> Said {
        let args = ["ot"].into_iter().chain(args.split_whitespace());
        Said::from(&command(args).current_dir(self.folder.path()).output().unwrap())
    }
}

impl Default for Arrays {
    fn default() -> Self {
        Self::new()
    }
}

fn wide(values: Values) -> Vec<f64> {
    match values {
        Values::F32(x) => x.into_iter().map(f64::from).collect(),
        Values::F64(x) => x,
        Values::I64(_) => panic!("no array of swav ot is of int64"),
    }
}

/// n numbers in [0, 1), the same for the same seed.
pub fn drawn(seed: u64, n: usize) -> Array1<f64> {
    Array1::from_vec(inputs::draws(seed, n))
}

/// A matrix of such numbers.
pub fn drawn_matrix(seed: u64, n: usize, m: usize) -> Array2<f64> {
    inputs::points(seed, n, m)
}

/// Weights of this mass, of which one is 0.
pub fn weights(seed: u64, n: usize, mass: f64) -> Array1<f64> {
    let mut w = drawn(seed, n) + 0.1;
    w[n / 2] = 0.0;
    let sum = w.sum();
    w * (mass / sum)
}
