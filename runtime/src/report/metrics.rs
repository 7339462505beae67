//! What a run wrote down about itself: `metrics.jsonl`, read leniently (a line that was cut by a crash is left out).

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

/// All lines of a run.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Metrics {
    /// Lines of training, by ascending step.
    pub(super) train: Vec<BTreeMap<String, f64>>,
    /// Lines of evaluation, by ascending step; figures by their path, `k.20.top1`.
    pub(super) eval: Vec<BTreeMap<String, f64>>,
}

impl Metrics {
    /// Reads the file; a missing one is an empty run.
    pub(super) fn read(path: &Path) -> Self {
        Self::parse(&std::fs::read_to_string(path).unwrap_or_default())
    }

    /// Reads the lines. A resumed run may have written a step twice: the later line counts.
    pub(super) fn parse(text: &str) -> Self {
        let (mut train, mut eval) = (BTreeMap::new(), BTreeMap::new());
        for line in text.lines() {
            let Ok(value) = serde_json::from_str::<Value>(line) else { continue };
            let mut figures = BTreeMap::new();
            flatten("", &value, &mut figures);
            let Some(&step) = figures.get("step") else { continue };
            let lines = if value.get("eval").is_some() { &mut eval } else { &mut train };
            lines.insert(step as u64, figures);
        }
        Self { train: train.into_values().collect(), eval: eval.into_values().collect() }
    }

    /// A figure of training over epochs; a null in between is a gap.
    pub(super) fn series(&self, key: &str) -> Vec<(f64, f64)> {
        points(&self.train, key)
    }

    /// The last finite value of a figure of training.
    pub(super) fn last(&self, key: &str) -> Option<f64> {
        self.train.iter().rev().find_map(|l| l.get(key).copied().filter(|v| v.is_finite()))
    }

    /// The figures of evaluation that are accuracies, each over epochs: names that end in `top1`.
    pub(super) fn accuracies(&self) -> Vec<(String, Vec<(f64, f64)>)> {
        let mut names: Vec<&String> = self.eval.iter().flat_map(BTreeMap::keys).collect();
        names.sort();
        names.dedup();
        names
            .into_iter()
            .filter(|n| n.ends_with("top1"))
            .map(|n| (n.clone(), points(&self.eval, n)))
            .collect()
    }
}

fn points(lines: &[BTreeMap<String, f64>], key: &str) -> Vec<(f64, f64)> {
    lines.iter().filter_map(|l| Some((*l.get("epoch").or(l.get("step"))?, *l.get(key)?))).collect()
}

fn flatten(path: &str, value: &Value, into: &mut BTreeMap<String, f64>) {
    match value {
        Value::Number(n) => {
            into.insert(path.to_string(), n.as_f64().unwrap_or(f64::NAN));
        }
        // JSON has no word for what is not finite.
        Value::Null => {
            into.insert(path.to_string(), f64::NAN);
        }
        Value::Object(map) => {
            for (key, value) in map {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                flatten(&path, value, into);
            }
        }
        Value::Bool(_) | Value::String(_) | Value::Array(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_sorted_by_what_they_are() {
        let metrics = Metrics::parse(concat!(
            "{\"step\": 10, \"epoch\": 0.5, \"loss\": 2.0}\n",
            "{\"step\": 20, \"epoch\": 1.0, \"loss\": 1.9}\n",
            "{\"step\": 20, \"epoch\": 1.0, \"eval\": \"knn\", \"k\": {\"20\": {\"top1\": 0.5, \"top5\": 0.9}}}\n",
            "{\"step\": 20, \"epoch\": 1.0, \"loss\": 1.8}\n",
            "{\"step\": 30, \"epoch\": 1.5, \"loss\": null}\n",
            "{\"step\": 40, \"epo",
        ));
        let loss = metrics.series("loss");
        assert_eq!(loss[..2], [(0.5, 2.0), (1.0, 1.8)]);
        assert!(loss[2].1.is_nan() && metrics.last("loss") == Some(1.8));
        assert_eq!(metrics.accuracies(), [("k.20.top1".to_string(), vec![(1.0, 0.5)])]);
    }
}
