//! Watches a run's figures for collapse and says in words what is wrong and what helps.
//!
//! The most frequent question about SwAV is a loss that stays at ln K: predictions are uniform. The remedies are those
//! of the authors, in their order (facebookresearch/swav, issues 12, 23, 56, 62, 69, 76, 120).

/// A sign of collapse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// The loss stays at ln K or above: every prototype is as likely as any other, or worse.
    Uniform,
    /// Codes put almost every image on the same few prototypes' mixture.
    FlatCodes,
    /// Few prototypes are anybody's best.
    FewPrototypes,
    /// Embeddings of different images point the same way.
    Embeddings,
}

/// The figures of one logged step that matter here.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figures {
    /// Steps completed.
    pub step: u64,
    /// Loss over ln K, when there are prototypes.
    pub loss_over_ln_k: Option<f64>,
    /// Mean entropy of the codes over ln K, when there are codes.
    pub code_entropy: Option<f64>,
    /// Prototypes that are the best of at least one code.
    pub prototypes_used: Option<u64>,
    /// Spread of the embeddings: 1 fills the sphere.
    pub embedding_std: f64,
}

/// Share of ln K at which a loss counts as that of uniform predictions.
const UNIFORM: f64 = 0.98;

/// Share of ln K above which a loss is worse than that of uniform predictions, not just noise around it.
const OVER: f64 = 1.02;

/// Share of ln K at which codes count as flat: an ε too large for the scores.
const FLAT: f64 = 0.98;

/// Share of the prototypes that could be used below which they count as few.
const FEW: f64 = 0.1;

/// Spread of embeddings below which they count as one point.
const POINT: f64 = 0.05;

/// Logged steps in a row before a sign is believed.
const PATIENCE: u32 = 5;

/// A state machine over logged steps; each sign is said once until it has gone.
#[derive(Debug, Clone)]
pub struct Watch {
    patience_steps: u64,
    most_used: u64,
    seen: [Count; 4],
}

#[derive(Debug, Clone, Copy, Default)]
struct Count {
    in_a_row: u32,
    said: bool,
}

impl Watch {
    /// A watch that stays quiet for the first steps (the warm-up and the freeze of the prototypes). `prototypes` is K,
    /// `population` the number of codes of a step.
    pub fn new(quiet_steps: u64, prototypes: usize, population: usize) -> Self {
        Self {
            patience_steps: quiet_steps,
            most_used: prototypes.min(population) as u64,
            seen: [Count::default(); 4],
        }
    }

    /// Takes the figures of a logged step; returns a sign when it begins to be believed.
    pub fn see(&mut self, f: &Figures) -> Option<Sign> {
        let few = f.prototypes_used.is_some_and(|n| (n as f64) < FEW * self.most_used as f64);
        let present = [
            (Sign::Embeddings, f.embedding_std < POINT),
            (Sign::Uniform, f.loss_over_ln_k.is_some_and(|l| l >= UNIFORM)),
            (Sign::FewPrototypes, few && self.most_used >= 10),
            (Sign::FlatCodes, f.code_entropy.is_some_and(|e| e >= FLAT)),
        ];
        let mut found = None;
        for ((sign, here), count) in present.into_iter().zip(&mut self.seen) {
            if !here || f.step < self.patience_steps {
                *count = Count::default();
                continue;
            }
            count.in_a_row += 1;
            if count.in_a_row >= PATIENCE && !count.said {
                count.said = true;
                found = found.or(Some(sign));
            }
        }
        found
    }
}

impl Sign {
    /// What is wrong, with the numbers.
    pub fn what(self, f: &Figures, prototypes: usize) -> String {
        let ln_k = (prototypes as f64).ln();
        match self {
            Self::Uniform => {
                let share = f.loss_over_ln_k.unwrap_or(f64::NAN);
                let how = if share <= OVER { "those of" } else { "worse than" };
                format!(
                    "the loss stays at {share:.3} of ln K = {ln_k:.3}: predictions are {how} a uniform guess among the {prototypes} prototypes, nothing is learned yet"
                )
            }
            Self::FlatCodes => format!(
                "codes are flat (entropy {:.3} of ln K): they carry no assignment to predict",
                f.code_entropy.unwrap_or(f64::NAN)
            ),
            Self::FewPrototypes => format!(
                "only {} of {prototypes} prototypes are the best of any image",
                f.prototypes_used.unwrap_or(0)
            ),
            Self::Embeddings => format!(
                "embeddings have collapsed to one direction (spread {:.4}, 1 fills the sphere)",
                f.embedding_std
            ),
        }
    }

    /// What helps, in the order to try it.
    pub fn remedies(self) -> &'static str {
        match self {
            Self::Uniform | Self::FlatCodes => {
                "swav.epsilon = 0.03; a longer swav.freeze_prototypes_steps; fewer model.prototypes; a lower optim.base_lr; more steps before judging"
            }
            Self::FewPrototypes => {
                "fewer model.prototypes (about one for ten images); a larger batch or swav.queue_length; a longer swav.freeze_prototypes_steps"
            }
            Self::Embeddings => {
                "a lower optim.base_lr with a longer warm-up; swav.epsilon = 0.03; a longer swav.freeze_prototypes_steps; look whether the images differ at all"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn healthy(step: u64) -> Figures {
        Figures {
            step,
            loss_over_ln_k: Some(0.8),
            code_entropy: Some(0.4),
            prototypes_used: Some(60),
            embedding_std: 0.9,
        }
    }

    fn signs(figures: impl IntoIterator<Item = Figures>) -> Vec<(u64, Sign)> {
        let mut watch = Watch::new(100, 100, 64);
        figures.into_iter().filter_map(|f| watch.see(&f).map(|s| (f.step, s))).collect()
    }

    #[test]
    fn a_healthy_run_is_left_alone() {
        assert_eq!(signs((0..100).map(|i| healthy(i * 10))), []);
    }

    #[test]
    fn a_loss_at_ln_k_is_said_once_after_the_quiet_time() {
        let stuck = |i: u64| Figures { loss_over_ln_k: Some(0.999), ..healthy(i * 10) };
        assert_eq!(signs((0..60).map(stuck)), [(140, Sign::Uniform)]);
    }

    #[test]
    fn a_sign_that_went_away_may_be_said_again() {
        let figures = (0..60).map(|i| {
            let bad = !(20..40).contains(&i);
            Figures { loss_over_ln_k: Some(if bad { 0.99 } else { 0.5 }), ..healthy(i * 10) }
        });
        assert_eq!(signs(figures), [(140, Sign::Uniform), (440, Sign::Uniform)]);
    }

    #[test]
    fn a_moment_is_no_collapse() {
        let figures = (0..80).map(|i| {
            let bad = i % 5 != 0;
            Figures { embedding_std: if bad { 0.0 } else { 0.9 }, ..healthy(i * 10) }
        });
        assert_eq!(signs(figures), []);
    }

    #[test]
    fn each_sign_has_words_and_remedies() {
        let cases = [
            (Figures { loss_over_ln_k: Some(1.0), ..healthy(200) }, Sign::Uniform),
            (Figures { code_entropy: Some(0.99), ..healthy(200) }, Sign::FlatCodes),
            (Figures { prototypes_used: Some(3), ..healthy(200) }, Sign::FewPrototypes),
            (Figures { embedding_std: 0.01, ..healthy(200) }, Sign::Embeddings),
        ];
        for (figures, sign) in cases {
            let run = (0..10).map(|i| Figures { step: 200 + i, ..figures });
            assert_eq!(signs(run), [(204, sign)]);
            assert!(sign.what(&figures, 100).len() > 20 && sign.remedies().len() > 20);
        }
    }

    #[test]
    fn embeddings_come_first_when_several_begin_together() {
        let all = (0..10).map(|i| Figures {
            step: 200 + i,
            loss_over_ln_k: Some(1.0),
            code_entropy: Some(1.0),
            prototypes_used: Some(1),
            embedding_std: 0.0,
        });
        assert_eq!(signs(all), [(204, Sign::Embeddings)]);
    }
}
