//! Names, shapes and places of all parameters in one flat buffer, and of the running statistics in another.
//!
//! The published shape of a convolution's weight is K C R S; in memory it is K R S C, which is what every
//! engine wants. [`to_published`] and [`from_published`] are the only places that know both.

use crate::rng::{Stream, Use};

/// Values between two parameters start on a cache line: offsets are multiples of this.
const ALIGN: usize = 16;

/// Index of a parameter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ParamId(pub usize);

/// Index of a running statistic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StatId(pub usize);

/// How a parameter starts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// Normal with deviation √(2 / (K·R·S)): Kaiming, fan-out, ReLU gain.
    Kaiming,
    /// Uniform in ±1/√fan-in, the usual start of a linear layer.
    Uniform {
        /// Inputs of the layer.
        fan_in: usize,
    },
    /// Normal with this deviation.
    Normal(f64),
    /// All ones.
    One,
    /// All zeros.
    Zero,
}

/// What a parameter is for the optimizer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Part of the backbone or the head.
    Network,
    /// Prototypes: normalised before each step and frozen at the start.
    Prototypes,
}

/// One trained tensor.
#[derive(Debug, Clone, PartialEq)]
pub struct Param {
    /// Published name, `layer1.0.conv1.weight`.
    pub name: String,
    /// Published shape.
    pub shape: Vec<usize>,
    /// First value in the flat buffer.
    pub offset: usize,
    /// Start values.
    pub init: Init,
    /// Treatment by the optimizer.
    pub role: Role,
}

impl Param {
    /// Number of values.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether it holds no value.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its place in the flat buffer.
    pub fn range(&self) -> std::ops::Range<usize> {
        self.offset..self.offset + self.len()
    }
}

/// One running statistic of a batch norm.
#[derive(Debug, Clone, PartialEq)]
pub struct Stat {
    /// Published name, `bn1.running_var`.
    pub name: String,
    /// Channels.
    pub len: usize,
    /// First value in the flat buffer of statistics.
    pub offset: usize,
    /// Start value: 0 for means, 1 for variances.
    pub start: f64,
}

impl Stat {
    /// Its place in the flat buffer of statistics.
    pub fn range(&self) -> std::ops::Range<usize> {
        self.offset..self.offset + self.len
    }
}

/// The table of all parameters and statistics of a network.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Params {
    entries: Vec<Param>,
    stats: Vec<Stat>,
    len: usize,
    stats_len: usize,
}

impl Params {
    /// The parameter of this name, added at the end if it is new.
    ///
    /// # Panics
    /// If the name is known with another shape.
    pub fn add(&mut self, name: String, shape: Vec<usize>, init: Init, role: Role) -> ParamId {
        if let Some(i) = self.entries.iter().position(|p| p.name == name) {
            assert_eq!(self.entries[i].shape, shape, "parameter {name}: two shapes");
            return ParamId(i);
        }
        let param = Param { name, shape, offset: self.len, init, role };
        self.len += param.len().next_multiple_of(ALIGN);
        self.entries.push(param);
        ParamId(self.entries.len() - 1)
    }

    /// The statistic of this name, added at the end if it is new.
    ///
    /// # Panics
    /// If the name is known with another length.
    pub fn add_stat(&mut self, name: String, len: usize, start: f64) -> StatId {
        if let Some(i) = self.stats.iter().position(|s| s.name == name) {
            assert_eq!(self.stats[i].len, len, "statistic {name}: two lengths");
            return StatId(i);
        }
        self.stats.push(Stat { name, len, offset: self.stats_len, start });
        self.stats_len += len.next_multiple_of(ALIGN);
        StatId(self.stats.len() - 1)
    }

    /// All parameters, in order of construction.
    pub fn entries(&self) -> &[Param] {
        &self.entries
    }

    /// All running statistics, in order of construction.
    pub fn stats(&self) -> &[Stat] {
        &self.stats
    }

    /// The parameter behind an index.
    pub fn get(&self, id: ParamId) -> &Param {
        &self.entries[id.0]
    }

    /// The statistic behind an index.
    pub fn stat(&self, id: StatId) -> &Stat {
        &self.stats[id.0]
    }

    /// Length of the flat buffer.
    pub fn buffer_len(&self) -> usize {
        self.len
    }

    /// Length of the flat buffer of statistics.
    pub fn stats_buffer_len(&self) -> usize {
        self.stats_len
    }

    /// Number of trained values.
    pub fn count(&self) -> usize {
        self.entries.iter().map(Param::len).sum()
    }

    /// Start values of one parameter, in published order.
    pub fn initial(&self, id: ParamId, seed: u64) -> Vec<f64> {
        let param = self.get(id);
        let mut draws = Stream::new(seed, Use::Initialisation, id.0 as u64);
        let n = param.len();
        match param.init {
            Init::One => vec![1.0; n],
            Init::Zero => vec![0.0; n],
            Init::Normal(deviation) => (0..n).map(|_| deviation * draws.normal()).collect(),
            Init::Kaiming => {
                let fan_out = param.shape[0] * param.shape[2..].iter().product::<usize>();
                let deviation = (2.0 / fan_out as f64).sqrt();
                (0..n).map(|_| deviation * draws.normal()).collect()
            }
            Init::Uniform { fan_in } => {
                let bound = 1.0 / (fan_in as f64).sqrt();
                (0..n).map(|_| bound * (2.0 * draws.uniform() - 1.0)).collect()
            }
        }
    }
}

/// Reorders a convolution weight from K R S C (memory) to K C R S (published); other shapes pass unchanged.
pub fn to_published<T: Copy>(shape: &[usize], memory: &[T]) -> Vec<T> {
    let &[k, c, r, s] = shape else { return memory.to_vec() };
    let mut out = Vec::with_capacity(memory.len());
    for ki in 0..k {
        for ci in 0..c {
            for i in 0..r * s {
                out.push(memory[(ki * r * s + i) * c + ci]);
            }
        }
    }
    out
}

/// Reorders a convolution weight from K C R S (published) to K R S C (memory); other shapes pass unchanged.
pub fn from_published<T: Copy>(shape: &[usize], published: &[T]) -> Vec<T> {
    let &[k, c, r, s] = shape else { return published.to_vec() };
    let mut out = Vec::with_capacity(published.len());
    for ki in 0..k {
        for i in 0..r * s {
            for ci in 0..c {
                out.push(published[(ki * c + ci) * r * s + i]);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_order_and_back() {
        let shape = [3, 2, 3, 3];
        let memory: Vec<usize> = (0..54).collect();
        let published = to_published(&shape, &memory);
        // K=1, C=1, R=0, S=2 in published order is K=1, R=0, S=2, C=1 in memory.
        assert_eq!(published[3 * 9 + 2], memory[(9 + 2) * 2 + 1]);
        assert_eq!(from_published(&shape, &published), memory);
    }

    #[test]
    fn the_same_name_is_the_same_parameter() {
        let mut p = Params::default();
        let a = p.add("w".into(), vec![3], Init::Zero, Role::Network);
        let b = p.add("v".into(), vec![20], Init::Zero, Role::Network);
        assert_eq!(p.add("w".into(), vec![3], Init::Zero, Role::Network), a);
        assert_eq!(p.get(b).offset, ALIGN);
        assert_eq!(p.buffer_len(), 3 * ALIGN);
        assert_eq!(p.count(), 23);
    }
}
