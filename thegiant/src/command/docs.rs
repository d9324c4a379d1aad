//! The parts of a command's documentation that few commands have.

use super::args::{ArgSpec, are_distinct};

/// The documentation of a command beyond its summary.
///
/// `#[commands]` takes it from the doc comment of the method and from `#[command]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Docs {
    /// The paragraphs after the first, as Markdown; empty if there are none.
    pub description: &'static str,
    /// The name or token of an argument, and its description in one line, as Markdown.
    pub arguments: &'static [(&'static str, &'static str)],
    /// The errors that the command may reply with, as Markdown; empty if they are not described.
    pub errors: &'static str,
    /// How the duration depends on the data, such as `O(1)`.
    pub complexity: Option<&'static str>,
    /// The version of the application since which other commands should be used.
    pub deprecated_since: Option<&'static str>,
    /// The replacement of a deprecated command, as Markdown.
    pub replaced_by: Option<&'static str>,
}

impl Docs {
    /// No documentation beyond the summary.
    pub const NONE: Docs = Docs {
        description: "",
        arguments: &[],
        errors: "",
        complexity: None,
        deprecated_since: None,
        replaced_by: None,
    };

    /// Sets the paragraphs after the first.
    #[must_use]
    pub const fn description(self, description: &'static str) -> Self {
        Docs { description, ..self }
    }

    /// Sets the descriptions of arguments.
    #[must_use]
    pub const fn arguments(self, arguments: &'static [(&'static str, &'static str)]) -> Self {
        Docs { arguments, ..self }
    }

    /// Sets the description of the errors.
    #[must_use]
    pub const fn errors(self, errors: &'static str) -> Self {
        Docs { errors, ..self }
    }

    /// Sets the complexity.
    #[must_use]
    pub const fn complexity(self, complexity: &'static str) -> Self {
        Docs { complexity: Some(complexity), ..self }
    }

    /// Sets the version since which the command is deprecated.
    #[must_use]
    pub const fn deprecated_since(self, version: &'static str) -> Self {
        Docs { deprecated_since: Some(version), ..self }
    }

    /// Sets the replacement of a deprecated command.
    #[must_use]
    pub const fn replaced_by(self, replacement: &'static str) -> Self {
        Docs { replaced_by: Some(replacement), ..self }
    }

    /// Returns the description of an argument, by its name or else by its token.
    #[must_use]
    pub fn argument(&self, arg: &ArgSpec) -> Option<&'static str> {
        let of = |wanted: &str| self.arguments.iter().find(|(name, _)| *name == wanted);
        of(arg.name).or_else(|| of(arg.token?)).map(|(_, text)| *text)
    }
}

/// Returns whether an argument, or a part of one, has this name or token.
///
/// `#[commands]` checks the doc comments with it.
#[must_use]
pub const fn has_argument(args: &[ArgSpec], name: &str) -> bool {
    let mut at = 0;
    while at < args.len() {
        let arg = &args[at];
        let token = match arg.token {
            Some(token) => token,
            None => "",
        };
        if !are_distinct(&[name], &[arg.name, token]) || has_argument(arg.parts, name) {
            return true;
        }
        at += 1;
    }
    false
}
