//! `swav recipes`: the shipped recipes as TOML.

use serde_json::json;

use crate::cli::{RecipesAction, RecipesArgs};
use crate::config::load::{self, Request};
use crate::config::recipes::{ALL, find};
use crate::error::{Error, Result};
use crate::terminal::{self, line};

/// What `auto` is, where recipes are listed.
const AUTO: &str = "Computed from the number and size of your images and from this machine; see swav train --dry-run";

/// Runs the command.
///
/// # Errors
/// `Config` for an unknown recipe.
pub fn run(args: &RecipesArgs) -> Result<()> {
    match &args.action {
        None | Some(RecipesAction::List) if args.json => {
            let shipped = ALL.iter().map(|r| json!({"name": r.name, "summary": r.summary()}));
            let auto = json!({"name": "auto", "summary": AUTO});
            terminal::json(&std::iter::once(auto).chain(shipped).collect::<Vec<_>>());
        }
        None | Some(RecipesAction::List) => {
            line(format!("{:20} {AUTO}", "auto"));
            ALL.iter().for_each(|r| line(format!("{:20} {}", r.name, r.summary())));
        }
        Some(RecipesAction::Show { name }) if name == "auto" => {
            return Err(Error::config(
                "recipe auto",
                "depends on your images, so there is no text to show",
                "swav train DATA --out RUN --dry-run",
            ));
        }
        Some(RecipesAction::Show { name }) if args.json => {
            let request = Request { recipe: Some(name), ..Request::default() };
            let auto = || Err(Error::config("recipe auto", "depends on your images", ""));
            terminal::json(&load::table(&load::load(request, auto)?.config));
        }
        Some(RecipesAction::Show { name }) => line(find(name)?.text.trim_end()),
    }
    Ok(())
}
