//! Layers of settings, merged as TOML tables: defaults < recipe < file < `--set`.
//!
//! A layer that names a backbone takes back the block, layers and width of the layers below it, because the
//! name stands for the three.

use std::path::Path;

use serde::Deserialize;
use toml::{Table, Value};

use super::auto::{self, Facts, Wishes};
use super::{Block, Config, recipes, validate};
use crate::error::{Error, Result};

/// Where the settings of a run come from.
#[derive(Debug, Clone, Copy, Default)]
pub struct Request<'a> {
    /// Name of a recipe; `auto` is computed.
    pub recipe: Option<&'a str>,
    /// A TOML file.
    pub file: Option<&'a Path>,
    /// `key=value` settings, in order.
    pub set: &'a [String],
}

/// A configuration with the reasons for what was chosen automatically.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    /// The validated tree.
    pub config: Config,
    /// Why `auto` chose what it chose, one sentence each; empty for other recipes.
    pub reasons: Vec<String>,
    /// Name of the recipe at the bottom: `auto`, a shipped name, or `defaults`.
    pub recipe: String,
}

/// Merges the layers and checks the result. `facts` is asked only when the recipe is `auto`.
///
/// # Errors
/// `Config` for unknown recipes and keys, wrong types, and values that contradict each other.
pub fn load(request: Request<'_>, facts: impl FnOnce() -> Result<Facts>) -> Result<Resolved> {
    let name = match (request.recipe, request.file) {
        (Some(name), _) => name,
        (None, None) => "auto",
        (None, Some(_)) => "defaults",
    };
    let mut tree = table(&Config::default());
    let mut reasons = Vec::new();
    match name {
        "defaults" => {}
        "auto" => {
            let (config, why) = auto::plan(&facts()?, &wishes(request)?);
            tree = table(&config);
            reasons = why;
        }
        name => lay(&mut tree, recipes::table(name)?),
    }
    if let Some(path) = request.file {
        lay(&mut tree, read_table(path)?);
    }
    if request.set.iter().any(|s| s.split('=').next().map(str::trim) == Some("model.backbone")) {
        forget_shape(&mut tree);
    }
    for assignment in request.set {
        set(&mut tree, assignment)?;
    }
    let config = config(tree, "the settings")?;
    validate::validate(&config)?;
    Ok(Resolved { config, reasons, recipe: name.to_owned() })
}

/// What the layers above the recipe decide that `auto` plans around. Nonsense is refused later, by name.
fn wishes(request: Request<'_>) -> Result<Wishes> {
    let mut above = match request.file {
        Some(path) => read_table(path)?,
        None => Table::new(),
    };
    for assignment in request.set.iter().filter(|s| s.trim_start().starts_with("train.")) {
        set(&mut above, assignment)?;
    }
    let train = above.get("train");
    let number = |key: &str| {
        let value = train.and_then(|t| t.get(key)).and_then(Value::as_integer);
        value.and_then(|n| u64::try_from(n).ok()).filter(|&n| n > 0)
    };
    Ok(Wishes { epochs: number("epochs"), batch_size: number("batch_size").map(|n| n as usize) })
}

/// Reads a complete or partial configuration file over the defaults, unchecked for contradictions.
///
/// # Errors
/// `Config` when it cannot be read, is no TOML, or has unknown keys or wrong types.
pub fn read(path: &Path) -> Result<Config> {
    let mut tree = table(&Config::default());
    lay(&mut tree, read_table(path)?);
    config(tree, &path.display().to_string())
}

/// Parses the text of a resolved configuration.
///
/// # Errors
/// `Config` when it is no TOML, or has unknown keys or wrong types.
pub fn parse(text: &str, what: &str) -> Result<Config> {
    let mut tree = table(&Config::default());
    lay(&mut tree, parse_table(text, what)?);
    config(tree, what)
}

/// The configuration as TOML text that [`parse`] reads back.
pub fn to_toml(config: &Config) -> String {
    toml::to_string(config).expect("a configuration is a tree of plain values")
}

/// The configuration as a table.
pub fn table(config: &Config) -> Table {
    Table::try_from(config).expect("a configuration is a tree of plain values")
}

/// Every setting with its dotted key, sorted: what two configurations are compared by.
pub fn flat(config: &Config) -> Vec<(String, Value)> {
    fn walk(path: &str, value: &Value, out: &mut Vec<(String, Value)>) {
        let join = |key: &str| if path.is_empty() { key.into() } else { format!("{path}.{key}") };
        match value {
            Value::Table(t) => t.iter().for_each(|(k, v)| walk(&join(k), v, out)),
            Value::Array(a) if a.iter().any(Value::is_table) => {
                a.iter().enumerate().for_each(|(i, v)| walk(&join(&i.to_string()), v, out));
            }
            v => out.push((path.to_owned(), v.clone())),
        }
    }
    let mut out = Vec::new();
    walk("", &Value::Table(table(config)), &mut out);
    out.sort_by(|a, b| a.0.cmp(&b.0));
    out
}

fn read_table(path: &Path) -> Result<Table> {
    let what = path.display().to_string();
    let text = std::fs::read_to_string(path)
        .map_err(|e| Error::config(&what, e.to_string(), "the path of a TOML file"))?;
    parse_table(&text, &what)
}

pub(super) fn parse_table(text: &str, what: &str) -> Result<Table> {
    text.parse::<Table>().map_err(|e| Error::config(what, e.to_string().trim_end(), ""))
}

/// Lays a table over another: tables are merged, everything else is replaced.
fn lay(below: &mut Table, above: Table) {
    if above.get("model").and_then(|m| m.get("backbone")).is_some() {
        forget_shape(below);
    }
    merge(below, above);
}

fn merge(below: &mut Table, above: Table) {
    for (key, value) in above {
        match (below.get_mut(&key), value) {
            (Some(Value::Table(b)), Value::Table(a)) => merge(b, a),
            (_, value) => {
                below.insert(key, value);
            }
        }
    }
}

fn forget_shape(tree: &mut Table) {
    if let Some(Value::Table(model)) = tree.get_mut("model") {
        for key in ["block", "layers", "width"] {
            model.remove(key);
        }
    }
}

/// Applies `key=value`.
fn set(tree: &mut Table, assignment: &str) -> Result<()> {
    let what = || format!("--set {assignment}");
    let (key, text) = assignment
        .split_once('=')
        .ok_or_else(|| Error::config(what(), "no = in it", "--set optim.base_lr=0.6"))?;
    let value = value(text.trim())
        .map_err(|why| Error::config(what(), why, "a number, true, a word or a TOML list"))?;
    let path: Vec<&str> = key.trim().split('.').collect();
    let mut root = Value::Table(std::mem::take(tree));
    let done = put(&mut root, &path, value);
    if let Value::Table(t) = root {
        *tree = t;
    }
    done.map_err(|why| Error::config(what(), why, hint_for(key.trim())))
}

/// A TOML value; what is none is a string when it is a bare word.
fn value(text: &str) -> std::result::Result<Value, String> {
    match format!("v = {text}").parse::<Table>() {
        Ok(mut t) if t.len() == 1 => Ok(t.remove("v").expect("the one key is v")),
        Err(e) if text.starts_with(['[', '{', '"', '\'']) => Err(e.message().to_owned()),
        _ if text.is_empty() || text.contains(['\n', '=', '[', '"']) => {
            Err(format!("\"{text}\" is no value"))
        }
        _ => Ok(Value::String(text.to_owned())),
    }
}

fn put(at: &mut Value, path: &[&str], value: Value) -> std::result::Result<(), String> {
    let Some((head, rest)) = path.split_first() else {
        *at = value;
        return Ok(());
    };
    match at {
        Value::Table(t) => {
            // Unknown keys are named with their neighbours once the whole tree is checked.
            let inner =
                || if rest.is_empty() { Value::Boolean(false) } else { Value::Table(Table::new()) };
            put(t.entry(*head).or_insert_with(inner), rest, value)
        }
        Value::Array(a) => {
            let length = a.len();
            let index: usize = head
                .parse()
                .map_err(|_| format!("\"{head}\" is no index of a list of {length}"))?;
            if index == length && !rest.is_empty() {
                a.push(Value::Table(Table::new()));
            }
            match a.get_mut(index) {
                Some(v) => put(v, rest, value),
                None => Err(format!("index {index} of a list of {length}")),
            }
        }
        other => Err(format!("\"{head}\" inside a {}, which has no keys", other.type_str())),
    }
}

/// Checks keys and types, then reads the tree.
fn config(tree: Table, what: &str) -> Result<Config> {
    check(what, "", &Value::Table(schema()), &Value::Table(tree.clone()))?;
    Config::deserialize(tree).map_err(|e| Error::config(what, e.to_string().trim_end(), ""))
}

/// A table that holds every key there is.
fn schema() -> Table {
    let mut full = Config::default();
    full.model.block = Some(Block::Bottleneck);
    full.model.layers = Some(vec![1]);
    full.model.width = Some(64);
    full.eval.resize = Some(256);
    full.eval.crop = Some(224);
    table(&full)
}

/// Settings that are a word or a number.
const MIXED: [&str; 2] = ["train.workers", "train.sync_bn"];

fn check(what: &str, path: &str, known: &Value, found: &Value) -> Result<()> {
    match (known, found) {
        (Value::Table(known), Value::Table(found)) => {
            for (key, value) in found {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                match known.get(key) {
                    Some(k) => check(what, &path, k, value)?,
                    None => {
                        return Err(Error::config(
                            what,
                            format!("unknown key {path}"),
                            hint_for(&path),
                        ));
                    }
                }
            }
            Ok(())
        }
        (Value::Array(known), Value::Array(found)) => match known.first() {
            Some(k) => found
                .iter()
                .enumerate()
                .try_for_each(|(i, v)| check(what, &format!("{path}.{i}"), k, v)),
            None => Ok(()),
        },
        (Value::Float(_), Value::Integer(_)) => Ok(()),
        (Value::String(_), Value::Integer(_)) if MIXED.contains(&path) => Ok(()),
        (Value::Integer(_), Value::Integer(n)) if *n < 0 => {
            Err(Error::config(what, format!("{path} = {n} is negative"), ""))
        }
        _ if known.same_type(found) => Ok(()),
        _ => Err(Error::config(
            what,
            format!(
                "{path} = {found} is of type {}, expected {}",
                found.type_str(),
                known.type_str()
            ),
            "",
        )),
    }
}

/// The nearest key there is, as a hint.
fn hint_for(path: &str) -> String {
    let last = path.rsplit('.').next().unwrap_or(path);
    let mut known = Vec::new();
    names("", &Value::Table(schema()), &mut known);
    let nearest = known
        .iter()
        .map(|k| {
            let tail = k.rsplit('.').next().unwrap_or(k);
            (distance(k, path).min(distance(tail, last) * 2 + usize::from(tail != path)), k)
        })
        .min();
    match nearest {
        Some((d, name)) if d <= 2 + last.len() => name.clone(),
        _ => "swav recipes show swav-400ep, or the table of settings in the README".into(),
    }
}

fn names(path: &str, value: &Value, out: &mut Vec<String>) {
    if !path.is_empty() {
        out.push(path.to_owned());
    }
    match value {
        Value::Table(t) => t.iter().for_each(|(k, v)| {
            names(&if path.is_empty() { k.clone() } else { format!("{path}.{k}") }, v, out);
        }),
        Value::Array(a) if a.first().is_some_and(Value::is_table) => {
            names(&format!("{path}.0"), &a[0], out);
        }
        _ => {}
    }
}

/// Levenshtein's distance between two names.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(set: &[&str]) -> Result<Config> {
        let set: Vec<String> = set.iter().map(|s| (*s).to_owned()).collect();
        let request = Request { recipe: Some("swav-100ep"), file: None, set: &set };
        load(request, || panic!("not asked")).map(|r| r.config)
    }

    fn refusal(set: &[&str]) -> String {
        let e = with(set).unwrap_err();
        assert_eq!(e.exit_code(), 2);
        e.to_string()
    }

    #[test]
    fn settings_reach_values_and_indices() {
        let c = with(&[
            "crops.0.size=160",
            "optim.base_lr=1",
            "model.stem=small",
            "augment.mean=[0.5, 0.5, 0.5]",
            "train.workers=3",
        ])
        .unwrap();
        assert_eq!(c.crops[0].size, 160);
        assert_eq!(c.optim.base_lr, 1.0);
        assert_eq!(c.model.stem, super::super::Stem::Small);
        assert_eq!(c.augment.mean, [0.5; 3]);
        assert_eq!(c.train.workers, super::super::Workers::Count(3));
    }

    #[test]
    fn an_unknown_key_is_named_with_its_neighbour() {
        assert!(refusal(&["optim.base_rl=1"]).contains("try: optim.base_lr"));
        assert!(refusal(&["epsilon=0.03"]).contains("try: swav.epsilon"));
        assert!(refusal(&["swav.epsilom=0.03"]).contains("unknown key swav.epsilom"));
        assert!(refusal(&["crops.0.sise=3"]).contains("try: crops.0.size"));
    }

    #[test]
    fn a_wrong_type_names_the_key() {
        assert!(refusal(&["train.epochs=many"]).contains("train.epochs"));
        assert!(refusal(&["train.epochs=-1"]).contains("train.epochs"));
        assert!(refusal(&["train.epochs=1.5"]).contains("train.epochs"));
        assert!(refusal(&["method=swaw"]).contains("method"));
        assert!(refusal(&["train.workers=some"]).contains("workers"));
        assert!(refusal(&["crops.7.size=3"]).contains("index 7 of a list of 2"));
        assert!(refusal(&["seed.low=3"]).contains("no keys"));
        assert!(refusal(&["seed"]).contains("no ="));
    }

    #[test]
    fn a_resolved_configuration_reads_back() {
        let c = with(&["model.backbone=resnet18", "model.width=32", "eval.crop=64"]).unwrap();
        assert_eq!(parse(&to_toml(&c), "text").unwrap(), c);
    }

    #[test]
    fn a_file_over_the_defaults_replaces_lists_whole() {
        let mut tree = table(&Config::default());
        lay(&mut tree, parse_table("[[crops]]\ncount = 4\nsize = 64", "x").unwrap());
        let c = config(tree, "x").unwrap();
        assert_eq!(c.crops.len(), 1);
        assert_eq!(c.crops[0].scale, [0.14, 1.0]);
    }

    #[test]
    fn naming_a_backbone_forgets_the_shape_below() {
        let mut tree = table(&Config::default());
        lay(&mut tree, parse_table("[model]\nbackbone = \"resnet18\"\nwidth = 32", "x").unwrap());
        lay(&mut tree, parse_table("[model]\nbackbone = \"resnet50w2\"", "x").unwrap());
        assert_eq!(config(tree, "x").unwrap().model.width, None);
    }
}
