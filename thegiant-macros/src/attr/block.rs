//! `#[commands(group = "…", rows = NAME, include(NAME, …), group_commit)]`.

use proc_macro2::TokenStream;
use syn::{Ident, LitStr, Path, Result, Token, meta::ParseNestedMeta, parse::Parser, punctuated::Punctuated};

use crate::mistakes::Mistakes;

/// What is said of an `impl` block.
#[derive(Default)]
pub(crate) struct BlockAttr {
    /// The group of its commands that name none.
    pub(crate) group: Option<LitStr>,
    /// The constant that its rows are put in, for another block to include.
    pub(crate) rows: Option<Ident>,
    /// The constants of other blocks.
    pub(crate) include: Vec<Ident>,
    /// The word that has replies wait until the actor has committed.
    pub(crate) group_commit: Option<Path>,
}

impl BlockAttr {
    /// Reads the attribute, up to the first mistake.
    pub(crate) fn read(tokens: TokenStream, mistakes: &mut Mistakes) -> Self {
        let mut read = BlockAttr::default();
        let parsed = syn::meta::parser(|meta| read.set(&meta)).parse2(tokens);
        mistakes.ok(parsed);
        read
    }

    fn set(&mut self, meta: &ParseNestedMeta<'_>) -> Result<()> {
        if meta.path.is_ident("group") {
            self.group = Some(meta.value()?.parse()?);
        } else if meta.path.is_ident("rows") {
            self.rows = Some(meta.value()?.parse()?);
        } else if meta.path.is_ident("include") {
            let names;
            syn::parenthesized!(names in meta.input);
            self.include.extend(Punctuated::<Ident, Token![,]>::parse_terminated(&names)?);
        } else if meta.path.is_ident("group_commit") {
            self.group_commit = Some(meta.path.clone());
        } else {
            return Err(
                meta.error("there are `group = \"…\"`, `rows = NAME`, `include(NAME, …)` and `group_commit`")
            );
        }
        Ok(())
    }
}
