//! `#[command("NAME", flags…, split = "…", all = "…", alias = "…", since = "…", group = "…", categories("…"),
//! event = "…", timeout = "…", complexity = "…", deprecated_since = "…", replaced_by = "…")]`.

use syn::{Attribute, Error, Ident, LitStr, Result};

use super::{Written, set_once};
use crate::mistakes::Mistakes;

/// The flags of Redis. `thegiant::command::Flags` has a constant for each, with the name in capitals.
const FLAGS: [&str; 23] = [
    "write",
    "readonly",
    "denyoom",
    "admin",
    "pubsub",
    "noscript",
    "blocking",
    "loading",
    "stale",
    "skip_monitor",
    "skip_slowlog",
    "asking",
    "fast",
    "no_auth",
    "may_replicate",
    "no_mandatory_keys",
    "no_async_loading",
    "no_multi",
    "allow_busy",
    "pubsub_mode",
    "channels",
    "patterns",
    "tenant_safe",
];

/// The flags of built-in commands. Their constants are private to `thegiant`.
const BUILTIN_FLAGS: [&str; 2] = ["never_queued", "executes"];

const KEYS: [&str; 8] =
    ["alias", "since", "group", "event", "timeout", "complexity", "deprecated_since", "replaced_by"];

/// The ACL categories that the flags of a command decide, and the flag of each.
const FLAG_CATEGORIES: [(&str, &str); 4] =
    [("read", "readonly"), ("write", "write"), ("fast", "fast"), ("blocking", "blocking")];

/// The values of `split` and `all`, and the variant of `thegiant::command::ResponsePolicy` for each.
const RESPONSE_POLICIES: [(&str, &str); 8] = [
    ("all_succeeded", "AllSucceeded"),
    ("one_succeeded", "OneSucceeded"),
    ("agg_sum", "AggSum"),
    ("agg_min", "AggMin"),
    ("agg_max", "AggMax"),
    ("agg_logical_and", "AggLogicalAnd"),
    ("agg_logical_or", "AggLogicalOr"),
    ("random", "Random"),
];

/// `split` or `all`: how a command runs on several shards.
pub(crate) struct SplitAttr {
    /// The word `split` or `all`.
    pub(crate) word: Ident,
    pub(crate) request: &'static str,
    pub(crate) response: &'static str,
}

/// The arguments of `#[command]`.
pub(crate) struct CommandAttr {
    pub(crate) name: LitStr,
    pub(crate) aliases: Vec<LitStr>,
    pub(crate) flags: Vec<Ident>,
    pub(crate) since: Option<LitStr>,
    pub(crate) group: Option<LitStr>,
    pub(crate) categories: Vec<LitStr>,
    pub(crate) event: Option<LitStr>,
    /// The maximum time until a later reply, in milliseconds.
    pub(crate) timeout: Option<u64>,
    pub(crate) split: Option<SplitAttr>,
    pub(crate) complexity: Option<LitStr>,
    pub(crate) deprecated_since: Option<LitStr>,
    pub(crate) replaced_by: Option<LitStr>,
    /// The word `no_client`, if present.
    pub(crate) no_client: Option<Ident>,
}

impl CommandAttr {
    /// Parses the attribute. Returns `None` if it has no valid name.
    pub(crate) fn read(attr: &Attribute, mistakes: &mut Mistakes) -> Option<Self> {
        let written = mistakes.ok(Written::of(attr))?;
        let name = mistakes.ok(name(attr, &written))?;
        let mut read = CommandAttr {
            name,
            aliases: Vec::new(),
            flags: Vec::new(),
            since: None,
            group: None,
            categories: Vec::new(),
            event: None,
            timeout: None,
            split: None,
            complexity: None,
            deprecated_since: None,
            replaced_by: None,
            no_client: None,
        };
        for flag in written.distinct_words(mistakes) {
            if let Some(request) = request_policy(&flag) {
                read.set_split(SplitAttr { word: flag, request, response: "Array" }, mistakes);
            } else if flag == "no_client" {
                read.no_client = Some(flag);
            } else if FLAGS.iter().chain(&BUILTIN_FLAGS).any(|known| flag == known) {
                read.flags.push(flag);
            } else {
                mistakes.at(&flag, unknown_flag(&flag));
            }
        }
        for (key, value) in written.values {
            read.set(&key, value, mistakes);
        }
        if let (Some(replacement), None) = (&read.replaced_by, &read.deprecated_since) {
            mistakes.at(replacement, "`replaced_by` needs the version: add `deprecated_since = \"…\"`");
        }
        Some(read)
    }

    /// Returns the name and the aliases.
    pub(crate) fn names(&self) -> impl Iterator<Item = &LitStr> {
        std::iter::once(&self.name).chain(&self.aliases)
    }

    /// Returns the number of words in the name.
    pub(crate) fn words(&self) -> usize {
        self.name.value().split(' ').count()
    }

    /// Returns the word of a flag, if the attribute has this flag.
    pub(crate) fn flag(&self, name: &str) -> Option<&Ident> {
        self.flags.iter().find(|flag| *flag == name)
    }

    fn set_split(&mut self, split: SplitAttr, mistakes: &mut Mistakes) {
        if let Some(first) = &self.split {
            let (first, second) = (&first.word, &split.word);
            let text = match first == second {
                true => format!("duplicate `{second}`: remove one"),
                false => format!("a command cannot have both `{first}` and `{second}`: remove one"),
            };
            mistakes.at(second, text);
        }
        self.split = Some(split);
    }

    /// Sets `split` or `all` with a value.
    fn set_policy(&mut self, word: &Ident, request: &'static str, value: &LitStr, mistakes: &mut Mistakes) {
        let name = value.value();
        let known = RESPONSE_POLICIES.iter().find(|(known, _)| *known == name);
        let (request, response) = match known {
            _ if name == "scan" && request == "AllShards" => ("Scan", "Array"),
            Some((_, response)) => (request, *response),
            None => return mistakes.at(value, unknown_policy(word, &name)),
        };
        self.set_split(SplitAttr { word: word.clone(), request, response }, mistakes);
    }

    fn add_category(&mut self, category: LitStr, mistakes: &mut Mistakes) {
        let name = category.value();
        if let Some((_, flag)) = FLAG_CATEGORIES.iter().find(|(known, _)| *known == name) {
            let text = format!(
                "the category `{name}` follows from the flags: add the flag `{flag}` instead, without quotes"
            );
            mistakes.at(&category, text);
        } else if name == "slow" || name == "all" {
            mistakes.at(&category, format_args!("`{name}` is no category of a single command: remove it"));
        } else if self.categories.iter().any(|known| known.value() == name) {
            mistakes.at(&category, format_args!("duplicate category `{name}`: remove one"));
        } else {
            check_category(&category, mistakes);
            self.categories.push(category);
        }
    }

    fn set(&mut self, key: &Ident, value: LitStr, mistakes: &mut Mistakes) {
        if let Some(request) = request_policy(key) {
            return self.set_policy(key, request, &value, mistakes);
        }
        match key.to_string().as_str() {
            "alias" => self.aliases.push(value),
            "since" => set_once(&mut self.since, key, value, mistakes),
            "group" => {
                check_category(&value, mistakes);
                set_once(&mut self.group, key, value, mistakes);
            }
            "categories" => self.add_category(value, mistakes),
            "event" if value.value().contains(' ') => mistakes.at(
                &value,
                "an event is one word: a command whose keys have different events takes `&mut KeyEvents`",
            ),
            "event" => set_once(&mut self.event, key, value, mistakes),
            "complexity" => set_once(&mut self.complexity, key, value, mistakes),
            "deprecated_since" => set_once(&mut self.deprecated_since, key, value, mistakes),
            "replaced_by" => set_once(&mut self.replaced_by, key, value, mistakes),
            "timeout" => match milliseconds(&value.value()) {
                Some(time) => set_once(&mut self.timeout, key, time, mistakes),
                None => mistakes.at(
                    &value,
                    "invalid timeout: write a whole number above 0 and `ms`, `s` or `m`, such as `\"500ms\"`",
                ),
            },
            flag if FLAGS.contains(&flag) => {
                mistakes.at(key, format_args!("the flag `{flag}` takes no value: remove the value"));
            }
            _ => mistakes.at(
                key,
                format_args!(
                    "unknown key `{key}`: use `alias`, `since`, `group`, `categories`, `event`, `timeout`, \
                     `complexity`, `deprecated_since`, `replaced_by`, `split` or `all`"
                ),
            ),
        }
    }
}

/// Adds a mistake for a group or category that cannot be a word of an ACL rule.
pub(crate) fn check_category(name: &LitStr, mistakes: &mut Mistakes) {
    let value = name.value();
    let is_allowed = |char: char| matches!(char, 'a'..='z' | '0'..='9' | '-' | '_');
    if value.is_empty() || !value.chars().all(is_allowed) {
        let text = match value.strip_prefix('@') {
            Some(name) => format!("a category has its `@` in ACL rules only: write `\"{name}\"`"),
            None => {
                "a group or category has lower case letters, digits, `-` and `_` only: ACL rules use its name"
                    .to_owned()
            }
        };
        mistakes.at(name, text);
    }
}

/// Returns whether a word is in capitals, as the names of constants are.
fn is_constant(word: &Ident) -> bool {
    !word.to_string().contains(|c: char| c.is_ascii_lowercase())
}

fn name(attr: &Attribute, written: &Written) -> Result<LitStr> {
    match written.literals.as_slice() {
        [name] => Ok(name.clone()),
        [] => match written.words.iter().find(|word| is_constant(word)) {
            Some(constant) => Err(Error::new_spanned(
                constant,
                "a name has to be a literal such as `\"GET\"`: the attribute does not know the value of a constant",
            )),
            None => {
                Err(Error::new_spanned(attr, "the command name is missing: write `#[command(\"NAME\")]`"))
            }
        },
        [_, second, ..] => {
            let text = format!("a command has one name: write the other as `alias = \"{}\"`", second.value());
            Err(Error::new_spanned(second, text))
        }
    }
}

/// Parses a time above zero, such as `500ms`, `5s` or `1m`.
fn milliseconds(time: &str) -> Option<u64> {
    let digits = time.find(|char: char| !char.is_ascii_digit())?;
    let (number, unit) = time.split_at(digits);
    let factor = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor).filter(|time| *time > 0)
}

/// Returns the variant of `thegiant::command::RequestPolicy` for the word `split` or `all`.
fn request_policy(word: &Ident) -> Option<&'static str> {
    match word.to_string().as_str() {
        "split" => Some("MultiShard"),
        "all" => Some("AllShards"),
        _ => None,
    }
}

fn unknown_policy(word: &Ident, policy: &str) -> String {
    let names: Vec<&str> = RESPONSE_POLICIES.iter().map(|(name, _)| *name).collect();
    let nearest =
        names.iter().find(|name| name.ends_with(&format!("_{policy}")) || distance(policy, name) <= 2);
    match nearest {
        Some(known) => format!("unknown value `{policy}`: did you mean `{known}`?"),
        None if word == "all" => {
            format!("unknown value `{policy}`: use `scan` or one of {}", names.join(", "))
        }
        None => format!("unknown value `{policy}`: use one of {}", names.join(", ")),
    }
}

fn unknown_flag(flag: &Ident) -> String {
    let word = flag.to_string();
    let nearest = FLAGS.iter().min_by_key(|known| distance(&word, known));
    match nearest.filter(|known| distance(&word, known) <= 2) {
        _ if word == "categories" => "`categories` needs names: `categories(\"…\")`".to_owned(),
        _ if KEYS.contains(&word.as_str()) => format!("`{word}` needs a value: `{word} = \"…\"`"),
        Some(known) => format!("unknown flag `{word}`: did you mean `{known}`?"),
        None => format!("unknown flag `{word}`: use one of {}", FLAGS.join(", ")),
    }
}

/// Returns the Levenshtein distance of two words.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::{distance, milliseconds};

    #[test]
    fn a_timeout_needs_a_number_and_a_unit() {
        assert_eq!(milliseconds("500ms"), Some(500));
        assert_eq!(milliseconds("5s"), Some(5_000));
        assert_eq!(milliseconds("2m"), Some(120_000));
        for wrong in
            ["", "5", "s", "0ms", "-1s", "1.5s", "5 s", "99999999999999999999ms", "9999999999999999999m"]
        {
            assert_eq!(milliseconds(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn distance_counts_changed_letters() {
        assert_eq!(distance("write", "write"), 0);
        assert_eq!(distance("wirte", "write"), 2);
        assert_eq!(distance("read_only", "readonly"), 1);
        assert_eq!(distance("", "fast"), 4);
    }
}
