//! Arrays given by path: read, checked for their axes, and turned into the number type of the problem.

use std::path::Path;

use ndarray::{Array1, Array2};
use swav_core::Real;
use swav_core::transport::{Dense, Geometry, Metric, Points};

use super::refusal::Names;
use crate::cli::ot::{CostFn, OtCost, OtWeights};
use crate::error::{Error, Result};
use crate::npy::{self, Npy, Values, View};

/// The number types that problems are solved in.
pub(super) trait Number: Real {
    /// L1 error of the marginals that iterations stop at.
    const TOLERANCE: f64;

    /// Values of a file. Those of f32 are f64 too; the other way round they are rounded.
    fn of(values: Values) -> Vec<Self>;

    /// For writing.
    fn view(values: &[Self]) -> View<'_>;
}

impl Number for f32 {
    const TOLERANCE: f64 = 1e-6;

    fn of(values: Values) -> Vec<f32> {
        match values {
            Values::F32(x) => x,
            Values::F64(x) => x.into_iter().map(|x| x as f32).collect(),
            Values::I64(x) => x.into_iter().map(|x| x as f32).collect(),
        }
    }

    fn view(values: &[f32]) -> View<'_> {
        View::F32(values)
    }
}

impl Number for f64 {
    const TOLERANCE: f64 = 1e-9;

    fn of(values: Values) -> Vec<f64> {
        match values {
            Values::F32(x) => x.into_iter().map(f64::from).collect(),
            Values::F64(x) => x,
            Values::I64(x) => x.into_iter().map(|x| x as f64).collect(),
        }
    }

    fn view(values: &[f64]) -> View<'_> {
        View::F64(values)
    }
}

/// An array argument.
pub(super) struct Array {
    /// The argument as it was given: `--cost C.npy`.
    pub(super) what: String,
    npy: Npy,
}

impl Array {
    /// Reads an array of float32 or float64 with as many axes as `shape` names, `["n", "m"]`.
    pub(super) fn read(flag: &str, path: &Path, shape: &[&str]) -> Result<Self> {
        let what = format!("{flag} {}", path.display());
        let bytes = std::fs::read(path)
            .map_err(|e| Error::config(&what, e.to_string(), "the path of a .npy file"))?;
        let npy = npy::parse(&bytes).map_err(|e| {
            Error::config(&what, e.0, "an array saved by numpy.save as float32 or float64")
        })?;
        if matches!(npy.values, Values::I64(_)) {
            let why = "holds int64; float32 and float64 are solved";
            return Err(Error::config(what, why, "numpy: x.astype('f8')"));
        }
        let wanted = format!("({}{})", shape.join(", "), if shape.len() == 1 { "," } else { "" });
        let found = npy::shape_text(&npy.shape);
        if npy.shape.len() != shape.len() {
            let long = npy.shape.iter().filter(|&&k| k != 1).count();
            let hint = match (npy.shape.len(), shape.len()) {
                (1, 2) => "numpy: x.reshape(-1, 1), if each number is a row of its own",
                (_, 1) if long <= 1 => "numpy: x.ravel()",
                _ => "an array of that many axes",
            };
            let why = format!("is of shape {found}, where {wanted} is needed");
            return Err(Error::config(what, why, hint));
        }
        if npy.shape.contains(&0) {
            let why = format!("is of shape {found}: it holds no number");
            return Err(Error::config(what, why, format!("an array of shape {wanted}")));
        }
        Ok(Self { what, npy })
    }

    /// Reads an array if one was given.
    pub(super) fn maybe(flag: &str, path: Option<&Path>, shape: &[&str]) -> Result<Option<Self>> {
        path.map(|path| Self::read(flag, path, shape)).transpose()
    }

    fn is_single(&self) -> bool {
        matches!(self.npy.values, Values::F32(_))
    }

    /// Of one axis.
    pub(super) fn vector<T: Number>(self) -> Array1<T> {
        Array1::from_vec(T::of(self.npy.values))
    }

    /// Of two axes.
    pub(super) fn matrix<T: Number>(self) -> Array2<T> {
        let shape = (self.npy.shape[0], self.npy.shape[1]);
        let values = T::of(self.npy.values);
        Array2::from_shape_vec(shape, values)
            .expect("a file holds as many values as its shape says")
    }
}

/// Whether all arrays are of float32.
pub(super) fn single<'a>(arrays: impl IntoIterator<Item = &'a Array>) -> bool {
    arrays.into_iter().all(Array::is_single)
}

/// Weights as they were given.
pub(super) struct Weights {
    a: Option<Array>,
    b: Option<Array>,
}

impl Weights {
    pub(super) fn read(args: &OtWeights) -> Result<Self> {
        let a = Array::maybe("--a", args.a.as_deref(), &["n"])?;
        Ok(Self { a, b: Array::maybe("--b", args.b.as_deref(), &["m"])? })
    }

    pub(super) fn arrays(&self) -> impl Iterator<Item = &Array> {
        self.a.iter().chain(&self.b)
    }

    /// a and b, for n sources and m targets.
    pub(super) fn typed<T: Number>(self, [n, m]: [usize; 2], names: &mut Names) -> [Array1<T>; 2] {
        let mut side = |name, given: Option<Array>, n| match given {
            Some(array) => {
                names.add(name, &array.what);
                array.vector()
            }
            None => {
                names.add(name, &format!("--{name}, not given and so uniform of sum 1"));
                uniform(n)
            }
        };
        [side("a", self.a, n), side("b", self.b, m)]
    }
}

/// n weights of sum 1.
pub(super) fn uniform<T: Number>(n: usize) -> Array1<T> {
    Array1::from_elem(n, T::from_f64(1.0 / n as f64))
}

/// Their sum.
pub(super) fn total<T: Number>(weights: &Array1<T>) -> f64 {
    weights.iter().map(|w| w.to_f64()).sum()
}

/// A cost as it was given.
pub(super) enum Cost {
    Matrix(Array),
    Points(Clouds),
}

impl Cost {
    pub(super) fn read(args: &OtCost) -> Result<Self> {
        match (&args.cost, &args.x, &args.y) {
            (_, Some(x), Some(y)) => Ok(Self::Points(Clouds::read(x, y, args.cost_fn)?)),
            (Some(cost), ..) => Ok(Self::Matrix(Array::read("--cost", cost, &["n", "m"])?)),
            _ => Err(Error::config("--cost", "is missing", "--cost C.npy, or --x X.npy --y Y.npy")),
        }
    }

    pub(super) fn arrays(&self) -> impl Iterator<Item = &Array> {
        match self {
            Self::Matrix(cost) => vec![cost],
            Self::Points(clouds) => clouds.arrays().to_vec(),
        }
        .into_iter()
    }

    pub(super) fn typed<T: Number>(self, names: &mut Names) -> TypedCost<T> {
        match self {
            Self::Matrix(cost) => {
                names.add("cost", &cost.what);
                TypedCost::Matrix(cost.matrix())
            }
            Self::Points(clouds) => {
                names.add("cost", "the cost of --x and --y");
                let metric = clouds.metric;
                let [x, y] = clouds.typed(names);
                TypedCost::Points(x, y, metric)
            }
        }
    }
}

/// A cost in the number type of its problem.
pub(super) enum TypedCost<T> {
    Matrix(Array2<T>),
    Points(Array2<T>, Array2<T>, Metric),
}

impl<T: Number> TypedCost<T> {
    /// (n, m)
    pub(super) fn shape(&self) -> [usize; 2] {
        match self {
            Self::Matrix(cost) => [cost.nrows(), cost.ncols()],
            Self::Points(x, y, _) => [x.nrows(), y.nrows()],
        }
    }

    pub(super) fn geometry(&self, names: &Names) -> Result<Box<dyn Geometry<T> + '_>> {
        Ok(match self {
            Self::Matrix(cost) => Box::new(Dense::new(cost)),
            Self::Points(x, y, metric) => {
                Box::new(Points::new(x, y, *metric).map_err(|e| names.refuse(e))?)
            }
        })
    }
}

/// Two clouds of points.
pub(super) struct Clouds {
    x: Array,
    y: Array,
    pub(super) metric: Metric,
}

impl Clouds {
    pub(super) fn read(x: &Path, y: &Path, cost: CostFn) -> Result<Self> {
        let metric = match cost {
            CostFn::Sqeuclidean => Metric::SquaredEuclidean,
            CostFn::Euclidean => Metric::Euclidean,
            CostFn::Cosine => Metric::Cosine,
        };
        let (x, y) = (Array::read("--x", x, &["n", "d"])?, Array::read("--y", y, &["m", "d"])?);
        Ok(Self { x, y, metric })
    }

    pub(super) fn arrays(&self) -> [&Array; 2] {
        [&self.x, &self.y]
    }

    pub(super) fn typed<T: Number>(self, names: &mut Names) -> [Array2<T>; 2] {
        names.add("x", &self.x.what);
        names.add("y", &self.y.what);
        [self.x.matrix(), self.y.matrix()]
    }
}
