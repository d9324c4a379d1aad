//! Takes the doc comment of a method apart.

use proc_macro2::Span;
use syn::{Attribute, Expr, ExprLit, Lit, LitStr, Meta};

use crate::mistakes::Mistakes;

/// The doc comment of a method.
#[derive(Default)]
pub(crate) struct DocComment {
    /// The first paragraph as one line, without the full stop, as in Redis.
    pub(crate) summary: String,
    /// The rest, without the sections of arguments and errors.
    pub(crate) description: String,
    /// The list below `# Arguments`.
    pub(crate) arguments: Vec<DocArgument>,
    /// The text below `# Errors`.
    pub(crate) errors: String,
}

/// An item of the list below `# Arguments`.
pub(crate) struct DocArgument {
    pub(crate) name: String,
    pub(crate) text: String,
    /// The span of the line.
    pub(crate) span: Span,
}

/// The part of a doc comment that a line belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Section {
    Summary,
    Description,
    Arguments,
    Errors,
}

impl DocComment {
    /// Reads the doc attributes.
    pub(crate) fn read(attrs: &[Attribute], mistakes: &mut Mistakes) -> Self {
        let mut docs = DocComment::default();
        let (mut section, mut is_code) = (Section::Summary, false);
        for text in attrs.iter().filter_map(literal) {
            for line in text.value().split('\n') {
                let line = line.strip_prefix(' ').unwrap_or(line).trim_end();
                is_code ^= line.trim_start().starts_with("```");
                match line.strip_prefix("# ").filter(|_| !is_code) {
                    Some("Arguments") => section = Section::Arguments,
                    Some("Errors") => section = Section::Errors,
                    heading => {
                        if heading.is_some() {
                            section = Section::Description;
                        }
                        docs.add(line, section, text.span(), mistakes);
                        if section == Section::Summary && line.is_empty() && !docs.summary.is_empty() {
                            section = Section::Description;
                        }
                    }
                }
            }
        }
        for text in [&mut docs.summary, &mut docs.description, &mut docs.errors] {
            *text = text.trim().to_owned();
        }
        if let Some(summary) = docs.summary.strip_suffix('.') {
            docs.summary = summary.to_owned();
        }
        docs
    }

    fn add(&mut self, line: &str, section: Section, span: Span, mistakes: &mut Mistakes) {
        match section {
            Section::Summary => add(&mut self.summary, line.trim(), ' '),
            Section::Description => add(&mut self.description, line, '\n'),
            Section::Errors => add(&mut self.errors, line, '\n'),
            Section::Arguments => self.add_argument(line, span, mistakes),
        }
    }

    fn add_argument(&mut self, line: &str, span: Span, mistakes: &mut Mistakes) {
        let item = line.strip_prefix("- ").or(line.strip_prefix("* "));
        match (item, self.arguments.last_mut()) {
            _ if line.is_empty() => {}
            (None, Some(last)) if line.starts_with(' ') => add(&mut last.text, line.trim(), ' '),
            _ => match item.and_then(DocArgument::parse) {
                Some((name, _)) if self.arguments.iter().any(|argument| argument.name == name) => {
                    mistakes
                        .at(LitStr::new("", span), format_args!("a second line for `{name}`: remove one"));
                }
                Some((name, text)) => self.arguments.push(DocArgument { name, text, span }),
                None => mistakes.at(
                    LitStr::new("", span),
                    "below `# Arguments`, each line is ``- `name` description``; further lines are indented",
                ),
            },
        }
    }
}

impl DocArgument {
    /// Parses `` `name` text``, also with a colon or a dash in between.
    fn parse(item: &str) -> Option<(String, String)> {
        let (name, text) = item.strip_prefix('`')?.split_once('`')?;
        let text = text.trim_start_matches([':', ' ', '-', '–']);
        (!name.is_empty()).then(|| (name.to_owned(), text.to_owned()))
    }
}

fn add(text: &mut String, line: &str, separator: char) {
    if !text.is_empty() {
        text.push(separator);
    }
    text.push_str(line);
}

/// Returns the text of a doc attribute: one line, or several for `/** … */`.
fn literal(attr: &Attribute) -> Option<&LitStr> {
    match &attr.meta {
        Meta::NameValue(meta) if meta.path.is_ident("doc") => match &meta.value {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text),
            _ => None,
        },
        _ => None,
    }
}
