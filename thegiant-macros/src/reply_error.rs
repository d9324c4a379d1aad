//! `#[derive(ReplyError)]`: the code of an error of the application.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{Attribute, Data, DeriveInput, Fields, Ident, LitStr, Path};

use crate::{check, mistakes::Mistakes};

/// The arguments of `#[reply(…)]` on a type or on a variant.
#[derive(Clone, Default)]
struct ReplyAttr {
    /// `code = "NOSTOCK"`
    code: Option<LitStr>,
    /// The word `internal`, if present.
    internal: Option<Path>,
}

/// Implements the trait. After a mistake it implements the defaults, which avoids further errors.
pub(crate) fn derive(item: TokenStream) -> TokenStream {
    let mut mistakes = Mistakes::default();
    let Some(item) = mistakes.ok(syn::parse2::<DeriveInput>(item)) else {
        return quote!(#mistakes);
    };
    let of_type = ReplyAttr::read(&item.attrs, &mut mistakes);
    let [code, is_internal] = match &item.data {
        Data::Enum(data) => {
            let attrs = data.variants.iter().map(|variant| {
                let attr = ReplyAttr::read(&variant.attrs, &mut mistakes);
                if !attr.is_said() && of_type.internal.is_none() {
                    check_wrapped(&variant.attrs, &variant.fields, &mut mistakes);
                }
                (&variant.ident, if attr.is_said() { attr } else { of_type.clone() })
            });
            let attrs: Vec<_> = attrs.collect();
            [match_of(&attrs, ReplyAttr::code), match_of(&attrs, ReplyAttr::is_internal)]
        }
        Data::Struct(data) => {
            if !of_type.is_said() {
                check_wrapped(&item.attrs, &data.fields, &mut mistakes);
            }
            [of_type.code(), of_type.is_internal()]
        }
        Data::Union(data) => {
            mistakes.at(data.union_token, "`#[derive(ReplyError)]` supports structs and enums");
            [of_type.code(), of_type.is_internal()]
        }
    };
    let name = &item.ident;
    let (generics, type_generics, bounds) = item.generics.split_for_impl();
    // A type that is no `Error` gets an error that says what to do, in front of that of the compiler.
    let is_error = quote_spanned!(name.span()=> #name #type_generics: ::thegiant::__private::IsError);
    let bounds = match bounds {
        Some(bounds) if bounds.predicates.trailing_punct() => quote!(#bounds #is_error),
        Some(bounds) => quote!(#bounds, #is_error),
        None => quote!(where #is_error),
    };
    quote_spanned! {name.span()=>
        #mistakes

        #[automatically_derived]
        impl #generics ::thegiant::ReplyError for #name #type_generics #bounds {
            fn code(&self) -> &str {
                #code
            }

            fn is_internal(&self) -> bool {
                #is_internal
            }
        }
    }
}

/// Returns an expression with the value of each variant.
fn match_of(variants: &[(&Ident, ReplyAttr)], value: impl Fn(&ReplyAttr) -> TokenStream) -> TokenStream {
    let arms = variants.iter().map(|(variant, attr)| {
        let value = value(attr);
        quote!(Self::#variant { .. } => #value)
    });
    quote!(match *self { #(#arms),* })
}

impl ReplyAttr {
    fn read(attrs: &[Attribute], mistakes: &mut Mistakes) -> Self {
        let mut read = ReplyAttr::default();
        for attr in attrs.iter().filter(|attr| attr.path().is_ident("reply")) {
            let parsed = attr.parse_nested_meta(|meta| {
                if meta.path.is_ident("code") {
                    read.code = Some(meta.value()?.parse()?);
                } else if meta.path.is_ident("internal") {
                    read.internal = Some(meta.path.clone());
                } else {
                    return Err(meta.error("unknown argument: use `code = \"…\"` or `internal`"));
                }
                Ok(())
            });
            mistakes.ok(parsed);
        }
        if let Some(code) = &read.code
            && let Err(message) = check_code(&code.value())
        {
            mistakes.at(code, message);
        }
        if let (Some(_), Some(internal)) = (&read.code, &read.internal) {
            mistakes.at(
                internal,
                "the client of an internal error gets `ERR internal error`: remove the code, or `internal`",
            );
        }
        read
    }

    /// Returns whether there is an argument.
    fn is_said(&self) -> bool {
        self.code.is_some() || self.internal.is_some()
    }

    fn is_internal(&self) -> TokenStream {
        let is_internal = self.internal.is_some();
        quote!(#is_internal)
    }

    fn code(&self) -> TokenStream {
        self.code.as_ref().map_or_else(|| quote!("ERR"), |code| quote!(#code))
    }
}

/// Reports that the text may be that of another error, which `#[from]` or `#[error(transparent)]` of `thiserror` wraps.
fn check_wrapped(attrs: &[Attribute], fields: &Fields, mistakes: &mut Mistakes) {
    let is_transparent = |attr: &Attribute| {
        attr.path().is_ident("error")
            && attr.parse_args::<Path>().is_ok_and(|word| word.is_ident("transparent"))
    };
    let from = fields.iter().flat_map(|field| &field.attrs).find(|attr| attr.path().is_ident("from"));
    if let Some(attr) = attrs.iter().find(|attr| is_transparent(attr)).or(from) {
        mistakes.at(
            attr,
            "the text of the wrapped error may not be meant for clients: write `#[reply(internal)]`, which logs it, or \
             `#[reply(code = \"…\")]` if clients may read it",
        );
    }
}

fn check_code(code: &str) -> Result<(), String> {
    if code.is_empty() {
        return Err("the code is empty: write a code such as `\"NOSTOCK\"`".to_owned());
    }
    check::word(code, "code")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns whether the derive reports that an error wraps another one.
    fn is_reported(item: TokenStream) -> bool {
        derive(item).to_string().contains("the text of the wrapped error may not be meant for clients")
    }

    #[test]
    fn a_wrapped_error_needs_a_code_or_is_internal() {
        assert!(is_reported(quote!(
            enum E {
                #[error("disk: {0}")]
                Io(#[from] io::Error),
            }
        )));
        assert!(is_reported(quote!(
            #[reply(code = "SHOP")]
            enum E {
                #[error(transparent)]
                Io(io::Error),
            }
        )));
        assert!(is_reported(quote!(
            #[error(transparent)]
            struct E(io::Error);
        )));
        assert!(is_reported(quote!(
            struct E {
                #[from]
                source: io::Error,
            }
        )));
        for told in [
            quote!(
                enum E {
                    #[reply(internal)]
                    Io(#[from] io::Error),
                }
            ),
            quote!(
                enum E {
                    #[reply(code = "DISK")]
                    #[error(transparent)]
                    Io(io::Error),
                }
            ),
            quote!(
                #[reply(internal)]
                enum E {
                    Io(#[from] io::Error),
                }
            ),
            quote!(
                #[reply(internal)]
                #[error(transparent)]
                struct E(io::Error);
            ),
            quote!(
                enum E {
                    #[error("there is no {0}")]
                    Missing(String),
                }
            ),
        ] {
            assert!(!is_reported(told.clone()), "{told}");
        }
    }
}
