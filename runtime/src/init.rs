//! `--init-from`: a new run that begins with somebody's weights.

use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::model::Weights;
use crate::run_dir::RunDir;
use crate::train::Job;

/// Puts the weights a job begins with into a fresh engine; nothing to do without `init_from`.
///
/// The backbone must match tensor by tensor. Head and prototypes that the file lacks, or that have another shape there,
/// keep their first draw, and it is said which. Momentum and queue start empty.
///
/// # Errors
/// Those of reading weights; `Checkpoint` listing the tensors of the backbone that do not fit.
pub fn from(engine: &mut dyn Engine, job: &Job, dir: &mut RunDir) -> Result<()> {
    let Some(path) = &job.init_from else { return Ok(()) };
    let mut weights = Weights::open(path)?;
    let mut snapshot = engine.snapshot()?;
    snapshot.tensors.retain(|name, _| name.starts_with("model."));
    let (mut wrong, mut drawn) = (Vec::new(), Vec::new());
    for (name, tensor) in &mut snapshot.tensors {
        let short = name.trim_start_matches("model.");
        match weights.tensors.remove(short) {
            Some(given) if given.shape == tensor.shape => *tensor = given,
            given if crate::export::is_backbone(short) => {
                let found = given.map_or("absent".to_owned(), |g| format!("{:?}", g.shape));
                wrong.push(format!("\n  {short}: {:?} here, {found} there", tensor.shape));
            }
            _ => drawn.push(short.to_owned()),
        }
    }
    if !wrong.is_empty() {
        return Err(Error::checkpoint(
            path.display().to_string(),
            format!("its backbone is another one{}", wrong.concat()),
            "the settings of model. that it was trained with: swav inspect FILE",
        ));
    }
    engine.restore(&snapshot)?;
    dir.say(&format!("init     weights of {}", path.display()));
    if !drawn.is_empty() {
        dir.say(&format!("init     drawn anew: {}", drawn.join(", ")));
    }
    Ok(())
}
