//! `#[commands(group = "…", rows = NAME, include(NAME, …), group_commit, expire(FIELD, …), prefetch, client, cfg(…))]`.

use proc_macro2::TokenStream;
use syn::{
    Ident, LitStr, Member, Path, Result, Token, meta::ParseNestedMeta, parse::Parser, punctuated::Punctuated,
    token::Paren,
};

use crate::mistakes::Mistakes;

/// The arguments of `#[commands]`.
#[derive(Default)]
pub(crate) struct BlockAttr {
    /// The default group of the block's commands.
    pub(crate) group: Option<LitStr>,
    /// The name of the constant for the rows, which another block includes.
    pub(crate) rows: Option<Ident>,
    /// The names of the constants of other blocks.
    pub(crate) include: Vec<Ident>,
    /// The word `group_commit`, if present.
    pub(crate) group_commit: Option<Path>,
    /// The word `expire`, if present.
    pub(crate) expire: Option<ExpireAttr>,
    /// The word `prefetch`, if present.
    pub(crate) prefetch: Option<Path>,
    /// The word `client`, if present.
    pub(crate) client: Option<ClientAttr>,
    /// The condition for the methods and their rows, but not for the client.
    pub(crate) cfg: Option<TokenStream>,
}

/// `expire`, or `expire(FIELD, …)`.
pub(crate) struct ExpireAttr {
    pub(crate) word: Path,
    /// The fields that implement `Expire`. If there are none, the actor implements it.
    pub(crate) fields: Vec<Member>,
}

/// `client`, or `client = "Name"`.
pub(crate) struct ClientAttr {
    pub(crate) word: Path,
    pub(crate) name: Option<LitStr>,
}

impl BlockAttr {
    /// Parses the attribute, up to the first mistake.
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
        } else if meta.path.is_ident("expire") {
            self.expire = Some(ExpireAttr { word: meta.path.clone(), fields: fields(meta)? });
        } else if meta.path.is_ident("prefetch") {
            self.prefetch = Some(meta.path.clone());
        } else if meta.path.is_ident("cfg") {
            let condition;
            syn::parenthesized!(condition in meta.input);
            self.cfg = Some(condition.parse()?);
        } else if meta.path.is_ident("client") {
            let name = if meta.input.peek(Token![=]) { Some(meta.value()?.parse()?) } else { None };
            self.client = Some(ClientAttr { word: meta.path.clone(), name });
        } else {
            return Err(meta.error(
                "unknown argument: use `group = \"…\"`, `rows = NAME`, `include(NAME, …)`, `group_commit`, \
                 `expire`, `prefetch`, `client` or \
                 `cfg(…)`",
            ));
        }
        Ok(())
    }
}

/// Reads the fields in parentheses, if there are parentheses.
fn fields(meta: &ParseNestedMeta<'_>) -> Result<Vec<Member>> {
    if !meta.input.peek(Paren) {
        return Ok(Vec::new());
    }
    let fields;
    syn::parenthesized!(fields in meta.input);
    if fields.is_empty() {
        return Err(meta.error("name the fields that are an `ExpiringMap`: `expire(values)`"));
    }
    Ok(Punctuated::<Member, Token![,]>::parse_terminated(&fields)?.into_iter().collect())
}
