//! How far a run is: a bar for who watches, a plain line now and then for who does not.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::metrics::Line;
use crate::run_dir::RunDir;
use crate::terminal;

/// Time between two plain lines.
const QUIET: Duration = Duration::from_secs(30);

/// Progress of one session.
#[derive(Debug)]
pub struct Progress {
    bar: Option<ProgressBar>,
    said: Option<Instant>,
    begun: (Instant, u64),
    steps: u64,
    prototypes: Option<usize>,
}

impl Progress {
    /// From a step to the end. `prototypes` is K, when there are some.
    pub fn new(step: u64, steps: u64, prototypes: Option<usize>) -> Self {
        let bar = terminal::watched().then(|| {
            let style = ProgressStyle::with_template("[{bar:24}] {pos}/{len} {msg}")
                .expect("the template is a constant")
                .progress_chars("=> ");
            let bar = ProgressBar::with_draw_target(Some(steps), ProgressDrawTarget::stderr());
            bar.with_style(style).with_position(step)
        });
        Self { bar, said: None, begun: (Instant::now(), step), steps, prototypes }
    }

    /// A step was taken.
    pub fn step(&self, step: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(step);
        }
    }

    /// A step was logged.
    pub fn line(&mut self, line: &Line, dir: &mut RunDir) {
        let text = self.text(line);
        if let Some(bar) = &self.bar {
            bar.set_message(text.clone());
            dir.write(&text);
        } else if self.said.is_none_or(|t| t.elapsed() >= QUIET) || line.step == self.steps {
            dir.say(&format!("step {}/{}  {text}", line.step, self.steps));
            self.said = Some(Instant::now());
        }
    }

    fn text(&self, line: &Line) -> String {
        let mut text = format!("loss {:.4}", line.loss);
        if let (Some(k), Some(share)) = (self.prototypes, line.loss_over_ln_k) {
            text.push_str(&format!(" ({share:.3} of ln {k})"));
            if let Some(used) = line.prototypes_used {
                text.push_str(&format!(" · prototypes {used}/{k}"));
            }
        }
        let done = (line.step - self.begun.1).max(1) as f64;
        let left = (self.steps - line.step) as f64 * self.begun.0.elapsed().as_secs_f64() / done;
        text.push_str(&format!(" · {:.0} images/s · {} left", line.images_per_second, time(left)));
        text
    }

    /// Takes the bar away.
    pub fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Seconds as a person says them.
pub fn time(seconds: f64) -> String {
    match seconds {
        s if s < 90.0 => format!("{s:.0} s"),
        s if s < 5400.0 => format!("{:.0} min", s / 60.0),
        s if s < 172_800.0 => format!("{:.1} h", s / 3600.0),
        s => format!("{:.1} days", s / 86_400.0),
    }
}
