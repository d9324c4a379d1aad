//! `#[key(RW, access, update, with = "TOKEN")]` on a parameter.

use syn::{Attribute, Ident, LitStr};

use super::{Written, set_once};
use crate::mistakes::Mistakes;

/// The words for the fate of a key. Each attribute needs one of them.
const MODES: [&str; 4] = ["RO", "RW", "OW", "RM"];

/// The word for a command that reads data of a key, and the words for one that changes data.
const READS: &str = "access";
/// The word alone says that the parameter only belongs to the slot of a key.
const NOT_KEY: &str = "not_key";
const WRITES: [&str; 3] = ["update", "insert", "delete"];

/// How a command uses the keys of a parameter.
pub(crate) struct KeyAttr {
    pub(crate) flags: KeyWords,
    /// The token of an option, and the flags of requests with it.
    pub(crate) with: Option<(LitStr, KeyWords)>,
}

/// The words of one `#[key]`. `thegiant::command::KeyFlags` has a constant for each, with the name in capitals.
pub(crate) struct KeyWords {
    pub(crate) attr: Attribute,
    pub(crate) words: Vec<Ident>,
}

impl KeyAttr {
    /// Parses the `#[key]` attributes of a parameter. Returns `None` if it has none, or only wrong ones.
    pub(crate) fn read(attrs: &[Attribute], mistakes: &mut Mistakes) -> Option<Self> {
        let (mut flags, mut with) = (None, None);
        for attr in attrs.iter().filter(|attr| is_key(attr)) {
            let (words, token) = read(attr, mistakes)?;
            match token {
                Some(token) if with.is_some() => {
                    mistakes.at(token, "a second `with`: the use of a key can depend on one option")
                }
                Some(token) => with = Some((token, words)),
                None if flags.is_some() => {
                    mistakes.at(attr, "a second `#[key]`: remove one, or add `with = \"TOKEN\"` for requests with an option");
                }
                None => flags = Some(words),
            }
        }
        match (flags, with) {
            (Some(flags), with) => Some(KeyAttr { flags, with }),
            (None, Some((token, _))) => {
                mistakes.at(
                    token,
                    "the use without this option is missing: add another `#[key(…)]` without `with`",
                );
                None
            }
            (None, None) => None,
        }
    }

    /// Returns all words.
    pub(crate) fn words(&self) -> impl Iterator<Item = &Ident> {
        let with = self.with.iter().flat_map(|(_, with)| &with.words);
        self.flags.words.iter().chain(with)
    }
}

/// Returns whether the attribute is `#[key]`.
pub(crate) fn is_key(attr: &Attribute) -> bool {
    attr.path().is_ident("key")
}

/// Returns whether the command changes a key with this word.
pub(crate) fn is_write(word: &Ident) -> bool {
    WRITES.iter().any(|write| word == write) || MODES[1..].iter().any(|mode| word == mode)
}

fn read(attr: &Attribute, mistakes: &mut Mistakes) -> Option<(KeyWords, Option<LitStr>)> {
    let written = mistakes.ok(Written::of(attr))?;
    let words = written.distinct_words(mistakes);
    for word in words.iter().filter(|word| !is_known(word)) {
        mistakes.at(word, unknown(word));
    }
    for literal in &written.literals {
        let text = format!("a word of `#[key]` has no quotes: write `{}`", literal.value());
        mistakes.at(literal, text);
    }
    let mut token = None;
    for (key, value) in written.values {
        match key == "with" {
            true => set_once(&mut token, &key, value, mistakes),
            false => mistakes.at(&key, format_args!("unknown key `{key}`: use `with = \"TOKEN\"`")),
        }
    }
    if words.iter().all(is_known) && written.literals.is_empty() {
        check(attr, &words, mistakes);
    }
    Some((KeyWords { attr: attr.clone(), words }, token))
}

fn check(attr: &Attribute, words: &[Ident], mistakes: &mut Mistakes) {
    if let Some(not_key) = words.iter().find(|word| *word == NOT_KEY) {
        if words.len() > 1 {
            mistakes.at(not_key, "`not_key` stands alone: remove it, or the other words");
        }
        return;
    }
    let modes: Vec<&Ident> = words.iter().filter(|word| MODES.iter().any(|mode| word == mode)).collect();
    let write = words.iter().find(|word| WRITES.iter().any(|write| word == write));
    match (modes.as_slice(), write) {
        ([], _) => mistakes.at(
            attr,
            "the attribute does not say what happens to the key: add `RO` (read), `RW` (read and written), `OW` (overwritten) or `RM` (removed)",
        ),
        ([mode], Some(write)) if *mode == "RO" => mistakes.at(
            write,
            format_args!("a key that is only read (`RO`) has no `{write}`: remove it, or write `RW`"),
        ),
        ([mode], None) if *mode != "RO" => mistakes.at(
            mode,
            format_args!("`{mode}` says that data changes: add `update`, `insert` or `delete`"),
        ),
        ([_], _) => {}
        ([first, second, ..], _) => mistakes.at(
            second,
            format_args!("a key cannot be both `{first}` and `{second}`: remove one"),
        ),
    }
}

fn is_known(word: &Ident) -> bool {
    word == READS || word == NOT_KEY || MODES.iter().chain(&WRITES).any(|known| word == known)
}

fn unknown(word: &Ident) -> String {
    let text = word.to_string();
    let known = MODES.iter().chain([&READS]).chain(&WRITES).chain([&NOT_KEY]);
    match known.clone().find(|known| known.eq_ignore_ascii_case(&text)) {
        Some(known) => format!("unknown word `{word}`: write `{known}`"),
        None if text == "read" || text == "get" => format!("unknown word `{word}`: did you mean `access`?"),
        None if text == "write" || text == "set" => format!("unknown word `{word}`: did you mean `update`?"),
        None => {
            let known: Vec<&str> = known.copied().collect();
            format!("unknown word `{word}`: use {}", known.join(", "))
        }
    }
}
