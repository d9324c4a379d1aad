//! Mistakes in ACL rules.

use std::{error, fmt};

/// A mistake in the rules of a user, with the text of `ACL SETUSER`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum RuleError {
    /// A rule cannot be applied.
    Rule { rule: Box<[u8]>, mistake: Mistake },
    /// A rule that begins a selector which does not end.
    Unmatched(Box<[u8]>),
}

/// A kind of mistake in one rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mistake {
    Syntax,
    UnknownCommand,
    KeyAfterAllKeys,
    ChannelAfterAllChannels,
    NoSuchPassword,
    MalformedHash,
    ArgumentOfSubcommand,
}

impl RuleError {
    pub(super) fn new(rule: &[u8], mistake: Mistake) -> Self {
        RuleError::Rule { rule: rule.into(), mistake }
    }
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |rule: &[u8]| String::from_utf8_lossy(rule).into_owned();
        match self {
            RuleError::Rule { rule, mistake } => {
                write!(f, "Error in ACL SETUSER modifier '{}': {mistake}", text(rule))
            }
            RuleError::Unmatched(rule) => {
                write!(f, "Unmatched parenthesis in acl selector starting at '{}'.", text(rule))
            }
        }
    }
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Mistake::Syntax => "Syntax error",
            Mistake::UnknownCommand => "Unknown command or category name in ACL",
            Mistake::KeyAfterAllKeys => {
                "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any \
                 effect. Try 'resetkeys' to start with an empty list of patterns"
            }
            Mistake::ChannelAfterAllChannels => {
                "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any \
                 effect. Try 'resetchannels' to start with an empty list of channels"
            }
            Mistake::NoSuchPassword => "The password you are trying to remove from the user does not exist",
            Mistake::MalformedHash => {
                "The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters"
            }
            Mistake::ArgumentOfSubcommand => "Allowing first-arg of a subcommand is not supported",
        })
    }
}

impl error::Error for RuleError {}
