//! `#[arg(try_from = "…", range = …, error = "…", pattern | unix_time)]` on a type.

use syn::{
    Attribute, Expr, ExprRange, Ident, LitStr, Result, Token, Type,
    ext::IdentExt,
    parse::{ParseStream, Parser},
};

use crate::{args, attr::set_once, mistakes::Mistakes};

/// The arguments of `#[arg]` on a type.
#[derive(Default)]
pub(crate) struct TypeAttr {
    /// The type that is read and converted.
    pub(crate) try_from: Option<Type>,
    /// The values that are not refused.
    pub(crate) range: Option<ExprRange>,
    /// The text of the error reply, after the code.
    pub(crate) error: Option<LitStr>,
    /// The type in `COMMAND DOCS`: `pattern` or `unix_time`.
    pub(crate) kind: Option<Ident>,
}

impl TypeAttr {
    /// Parses the attributes of the type.
    pub(crate) fn read(attrs: &[Attribute], mistakes: &mut Mistakes) -> Self {
        let mut read = TypeAttr::default();
        for attr in attrs.iter().filter(|attr| args::is_arg(attr)) {
            let tokens = attr.meta.require_list().map(|list| list.tokens.clone());
            let parsed = tokens
                .and_then(|tokens| (|input: ParseStream<'_>| read.parse(input, mistakes)).parse2(tokens));
            mistakes.ok(parsed);
        }
        if let Some(error) = &read.error
            && let Err(message) = check_text(&error.value())
        {
            mistakes.at(error, message);
        }
        read
    }

    fn parse(&mut self, input: ParseStream<'_>, mistakes: &mut Mistakes) -> Result<()> {
        while !input.is_empty() {
            self.argument(input, mistakes)?;
            if !input.is_empty() {
                input.parse::<Token![,]>()?;
            }
        }
        Ok(())
    }

    fn argument(&mut self, input: ParseStream<'_>, mistakes: &mut Mistakes) -> Result<()> {
        if input.peek(LitStr) {
            mistakes.at(input.parse::<LitStr>()?, "a word belongs to a variant: move this `#[arg]` to one");
            return Ok(());
        }
        let key = input.call(Ident::parse_any)?;
        if key == "pattern" || key == "unix_time" {
            set_once(&mut self.kind, &key, key.clone(), mistakes);
            return Ok(());
        }
        if input.parse::<Option<Token![=]>>()?.is_none() {
            mistakes.at(&key, unknown(&key));
        } else if key == "range" {
            self.range(&key, input.parse()?, mistakes);
        } else if key == "try_from" {
            let written: LitStr = input.parse()?;
            if let Some(ty) = mistakes.ok(written.parse()) {
                set_once(&mut self.try_from, &key, ty, mistakes);
            }
        } else if key == "error" {
            set_once(&mut self.error, &key, input.parse()?, mistakes);
        } else {
            input.parse::<Expr>()?;
            mistakes.at(&key, unknown(&key));
        }
        Ok(())
    }

    fn range(&mut self, key: &Ident, value: Expr, mistakes: &mut Mistakes) {
        match value {
            Expr::Range(range) => set_once(&mut self.range, key, range, mistakes),
            other => mistakes.at(other, "this is no range: write `range = 1..=100` or `range = 1..`"),
        }
    }
}

fn unknown(key: &Ident) -> String {
    format!(
        "unknown argument `{key}`: use `try_from = \"…\"`, `range = 1..=100`, `error = \"…\"`, `pattern` or `unix_time`"
    )
}

/// Checks the text of an error reply, which has the code `ERR`.
fn check_text(text: &str) -> std::result::Result<(), &'static str> {
    if text.is_empty() {
        Err(
            "the text is empty: write what a correct value is, such as `error = \"the port is from 1 to 65535\"`",
        )
    } else if text.contains(['\r', '\n']) {
        Err("an error reply is one line: remove the line break")
    } else if text.starts_with("ERR ") {
        Err("the code `ERR` is added to the text: remove it here")
    } else {
        Ok(())
    }
}
