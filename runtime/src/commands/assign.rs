//! `swav assign`: the prototype of every image of a data set.
//!
//! Without `--balanced` it is the one with the largest score. With it, the one with the largest code, by Sinkhorn over
//! the whole set with the model's ε and rounds, so that prototypes get nearly equal shares. `--codes` writes these
//! codes either way.

use ndarray::Array2;
use serde_json::json;
use swav_core::codes::{Rounds, codes};

use super::embed::{folder_exists, names_path, outputs, said, write_names};
use crate::cli::AssignArgs;
use crate::engine::Output;
use crate::error::{Error, Result};
use crate::model::Model;
use crate::npy::{self, View};
use crate::terminal::{json, line};

/// Runs the command.
///
/// # Errors
/// Those of opening model and data, of the engine, and of writing.
pub fn run(args: &AssignArgs) -> Result<()> {
    let names = names_path(&args.out)?;
    args.codes.as_deref().map_or(Ok(()), folder_exists)?;
    let threads = args.compute.threads();
    let mut model = Model::open(&args.model, args.compute.device, threads)?;
    said(&model);
    let (dataset, set) = outputs(&mut model, &args.data, &Output::Scores, threads)?;
    let prototypes = set.features.ncols();
    let balanced = if args.balanced || args.codes.is_some() {
        let swav = &model.weights.config.swav;
        let how = Rounds { epsilon: swav.epsilon, iterations: swav.sinkhorn_iterations };
        let q = codes(&set.features, how).map_err(|e| {
            Error::diverged("the scores of the data set", e.to_string(), "an earlier checkpoint")
        })?;
        Some(q)
    } else {
        None
    };
    let chosen = match &balanced {
        Some(q) if args.balanced => arg_max(q),
        _ => arg_max(&set.features),
    };
    npy::write(&args.out, &[chosen.len()], View::I64(&chosen))?;
    write_names(&names, &dataset, &set)?;
    if let (Some(path), Some(q)) = (&args.codes, &balanced) {
        let values = q.as_slice().expect("codes are in one piece");
        npy::write(path, &[q.nrows(), q.ncols()], View::F32(values))?;
    }
    let used = chosen.iter().collect::<std::collections::BTreeSet<_>>().len();
    if args.json {
        json(&json!({
            "images": chosen.len(), "prototypes": prototypes, "used": used,
            "balanced": args.balanced, "bad": set.bad.len(),
            "out": args.out.display().to_string(), "names": names.display().to_string(),
        }));
    } else {
        line(format!(
            "{} images to {used} of {prototypes} prototypes, {}",
            chosen.len(),
            args.out.display()
        ));
    }
    Ok(())
}

/// Column of the largest value of each row; of equals the lower.
pub(crate) fn arg_max(x: &Array2<f32>) -> Vec<i64> {
    x.rows()
        .into_iter()
        .map(|row| (0..row.len()).fold(0, |b, c| if row[c] > row[b] { c } else { b }) as i64)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_equal_scores_the_lower_prototype_is_chosen() {
        assert_eq!(arg_max(&ndarray::arr2(&[[1.0, 3.0, 3.0], [2.0, 2.0, 2.0]])), [1, 0]);
    }
}
