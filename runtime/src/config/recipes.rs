//! The shipped recipes: differences from the defaults, as TOML with the reason beside each group.

use toml::Table;

use super::load::parse_table;
use crate::error::{Error, Result};

/// A shipped recipe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recipe {
    /// Its name on the command line.
    pub name: &'static str,
    /// Its text; the first line is a comment that says what it is.
    pub text: &'static str,
}

macro_rules! shipped {
    ($($name:literal),* $(,)?) => {
        &[$(Recipe { name: $name, text: include_str!(concat!("../../recipes/", $name, ".toml")) }),*]
    };
}

/// All of them, the published ones first.
pub const ALL: &[Recipe] = shipped![
    "swav-100ep",
    "swav-200ep",
    "swav-400ep",
    "swav-800ep",
    "swav-400ep-2x224",
    "swav-200ep-bs256",
    "swav-400ep-bs256",
    "swav-400ep-rn50w2",
    "swav-400ep-rn50w4",
    "demo",
    "fashion-mnist",
    "small-images",
];

impl Recipe {
    /// What it is, in one line.
    pub fn summary(&self) -> &'static str {
        self.text.lines().next().unwrap_or_default().trim_start_matches('#').trim()
    }
}

/// The recipe of a name.
///
/// # Errors
/// `Config` for an unknown name.
pub fn find(name: &str) -> Result<Recipe> {
    ALL.iter().copied().find(|r| r.name == name).ok_or_else(|| {
        let known: Vec<&str> = ALL.iter().map(|r| r.name).collect();
        Error::config(
            format!("recipe {name}"),
            "no such recipe",
            format!("auto, {}", known.join(", ")),
        )
    })
}

/// The recipe of a name as a table.
///
/// # Errors
/// `Config` for an unknown name.
pub fn table(name: &str) -> Result<Table> {
    parse_table(find(name)?.text, name)
}

#[cfg(test)]
mod tests {
    use super::super::load::{Request, load};
    use super::super::{Config, Crops, SyncBn};
    use super::*;

    fn resolved(name: &str) -> Config {
        let request = Request { recipe: Some(name), ..Request::default() };
        load(request, || panic!("only auto asks")).unwrap().config
    }

    #[test]
    fn every_recipe_is_whole_and_says_what_it_is() {
        for r in ALL {
            resolved(r.name);
            assert!(r.text.starts_with("# ") && r.summary().len() > 20, "{}", r.name);
        }
    }

    fn crops(c: &[Crops]) -> Vec<(usize, usize, [f64; 2])> {
        c.iter().map(|c| (c.count, c.size, c.scale)).collect()
    }

    const MULTI: [(usize, usize, [f64; 2]); 2] = [(2, 224, [0.14, 1.0]), (6, 96, [0.05, 0.14])];

    /// Flag by flag, the official scripts (facebookresearch/swav, `scripts/`).
    #[test]
    fn published_recipes_say_what_the_official_scripts_say() {
        for (name, epochs) in
            [("swav-100ep", 100), ("swav-200ep", 200), ("swav-400ep", 400), ("swav-800ep", 800)]
        {
            let c = resolved(name);
            assert_eq!((c.train.epochs, c.train.batch_size), (epochs, 4096), "{name}");
            assert_eq!(crops(&c.crops), MULTI);
            assert_eq!((c.optim.base_lr, c.optim.final_lr), (4.8, 0.0048));
            assert_eq!((c.optim.warmup_epochs, c.optim.start_lr), (10.0, 0.3));
            assert_eq!((c.swav.freeze_prototypes_steps, c.swav.queue_length), (313, 0));
            assert_eq!(c.train.sync_bn, SyncBn::Group(8));
        }
        let c = resolved("swav-400ep-2x224");
        assert_eq!(crops(&c.crops), [(2, 224, [0.08, 1.0])]);
        assert_eq!((c.train.epochs, c.train.batch_size), (400, 4096));
        for (name, epochs) in [("swav-200ep-bs256", 200), ("swav-400ep-bs256", 400)] {
            let c = resolved(name);
            assert_eq!((c.train.epochs, c.train.batch_size), (epochs, 256));
            assert_eq!(crops(&c.crops), MULTI);
            assert_eq!((c.optim.base_lr, c.optim.final_lr), (0.6, 0.0006));
            assert_eq!(c.optim.warmup_epochs, 0.0);
            assert_eq!(c.swav.freeze_prototypes_steps, 5005);
            assert_eq!((c.swav.queue_length, c.swav.queue_start_epoch), (3840, 15));
            assert_eq!(c.train.sync_bn, SyncBn::All);
        }
        let c = resolved("swav-400ep-rn50w2");
        assert_eq!((c.model.backbone.as_str(), c.model.hidden), ("resnet50w2", 8192));
        assert_eq!(crops(&c.crops), [(2, 224, [0.14, 1.0]), (4, 96, [0.05, 0.14])]);
        assert_eq!((c.train.batch_size, c.swav.queue_length), (4096, 0));
        let c = resolved("swav-400ep-rn50w4");
        assert_eq!((c.model.backbone.as_str(), c.model.hidden), ("resnet50w4", 8192));
        assert_eq!(crops(&c.crops), [(2, 224, [0.08, 1.0]), (4, 96, [0.08, 0.14])]);
        assert_eq!(c.train.batch_size, 2560);
        assert_eq!((c.swav.queue_length, c.swav.queue_start_epoch), (2560, 0));
        assert_eq!((c.optim.base_lr, c.swav.freeze_prototypes_steps), (4.8, 313));
    }

    #[test]
    fn published_recipes_share_the_rest() {
        for r in ALL.iter().filter(|r| r.name.starts_with("swav-")) {
            let c = resolved(r.name);
            assert_eq!(c.augment.std, [0.228, 0.224, 0.225], "{}", r.name);
            assert_eq!((c.swav.temperature, c.swav.epsilon), (0.1, 0.05));
            assert_eq!((c.swav.sinkhorn_iterations, c.model.prototypes), (3, 3000));
            assert_eq!((c.optim.weight_decay, c.optim.momentum), (1e-6, 0.9));
            assert_eq!(c.model.output_dim, 128);
            assert_eq!(c.seed, 31);
        }
    }
}
