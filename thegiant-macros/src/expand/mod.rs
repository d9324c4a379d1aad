//! Generates the code of the attributes.

mod client;
mod client_types;
mod row;

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{
    Error, FnArg, Ident, ImplItem, Item, ItemImpl, Token, Type, parse_quote, punctuated::Punctuated,
    spanned::Spanned,
};

use crate::{
    attr::{BlockAttr, ExpireAttr, is_key},
    check,
    mistakes::Mistakes,
    model::{Block, cfgs, is_command},
};

/// Expands `#[commands]` to the block and the rows of its commands.
///
/// After a mistake it generates no rows, so that rustc does not report a second error.
pub(crate) fn commands(attr: TokenStream, item: TokenStream) -> TokenStream {
    let mut mistakes = Mistakes::default();
    let attr = BlockAttr::read(attr, &mut mistakes);
    let Some(item) = mistakes.ok(impl_block(&item)) else {
        return quote!(#mistakes #item);
    };
    let mut block = Block::read(attr, &item, &mut mistakes);
    check::block(&block, &mut mistakes);
    if item.generics.lifetimes().next().is_some() {
        // Traits for such a type would cause a dozen further errors.
        let item = without_command_attributes(&item);
        return quote!(#mistakes #item);
    }
    if !mistakes.is_empty() {
        block.commands.clear();
    }
    let (implementation, client) = (implementation(&block), client::of_block(&block));
    let cfgs: Vec<_> = cfgs(&item.attrs).collect();
    let condition = block.attr.cfg.iter().map(|condition| quote!(#[cfg(#condition)]));
    let condition = quote!(#(#condition)*);
    let item = without_command_attributes(&item);
    quote! {
        #mistakes
        #condition
        #item
        #(#cfgs)*
        #condition
        const _: () = {
            #implementation
        };
        #client
    }
}

/// Expands a `#[command]` outside of a `#[commands]` block to an error.
pub(crate) fn stray_command(item: TokenStream) -> TokenStream {
    let text = "`#[command]` outside of a `#[commands]` block: write `#[commands]` above the `impl` block";
    let error = Error::new(Span::call_site(), text).to_compile_error();
    quote!(#error #item)
}

fn impl_block(item: &TokenStream) -> syn::Result<ItemImpl> {
    match syn::parse2(item.clone())? {
        Item::Impl(block) => Ok(block),
        _ => Err(Error::new(
            Span::call_site(),
            "`#[commands]` needs an `impl` block: move it above the `impl` block of the actor",
        )),
    }
}

fn without_command_attributes(item: &ItemImpl) -> ItemImpl {
    let mut item = item.clone();
    for item in &mut item.items {
        if let ImplItem::Fn(function) = item {
            let commands = function.attrs.len();
            function.attrs.retain(|attr| !is_command(attr));
            if function.attrs.len() < commands {
                without_key_attributes(&mut function.sig.inputs);
            }
        }
    }
    item
}

fn without_key_attributes(inputs: &mut Punctuated<FnArg, Token![,]>) {
    for input in inputs {
        if let FnArg::Typed(typed) = input {
            typed.attrs.retain(|attr| !is_key(attr));
        }
    }
}

fn implementation(block: &Block<'_>) -> TokenStream {
    let rows = row::of_block(block);
    match &block.attr.rows {
        Some(name) => constant(block, name, &rows),
        None => traits(block, &rows),
    }
}

/// Generates the constant that another block includes.
fn constant(block: &Block<'_>, name: &Ident, rows: &[TokenStream]) -> TokenStream {
    let ty = &block.item.self_ty;
    let (generics, _, bounds) = block.item.generics.split_for_impl();
    quote! {
        #[allow(deprecated)]
        impl #generics #ty #bounds {
            /// The rows of the commands in this block.
            pub(crate) const #name: &'static [::thegiant::command::Row<Self>] = &[#(#rows),*];
        }
    }
}

fn traits(block: &Block<'_>, rows: &[TokenStream]) -> TokenStream {
    let ty = &block.item.self_ty;
    // With this bound, rustc reports a type that is no actor by the text of `Receiver` alone. The text of `Actor` lists
    // other actors in an order that differs from one compilation to the next. `for<'any>` keeps rustc from a check of
    // the bound itself.
    let mut generics = block.item.generics.clone();
    generics.make_where_clause().predicates.push(match &block.attr.group_commit {
        Some(_) => parse_quote! {
            for<'any> #ty: ::thegiant::__private::Actor<Context = ::thegiant::__private::Context<#ty>>
        },
        None => parse_quote!(for<'any> #ty: ::thegiant::__private::Actor),
    });
    let (generics, _, actor_bounds) = generics.split_for_impl();
    let bounds = &block.item.generics.where_clause;
    let include = &block.attr.include;
    let run_batches = match &block.attr.group_commit {
        // The span makes rustc report a missing `GroupCommit` at this word.
        Some(group_commit) => {
            quote_spanned!(group_commit.span()=> ::thegiant::__private::run_batches_in_groups(self, message, context))
        }
        None => quote!(::thegiant::__private::run_batches(self, message, context)),
    };
    let uses_group_commit = match &block.attr.group_commit {
        Some(group_commit) => {
            quote_spanned!(group_commit.span()=> <Self as ::thegiant::GroupCommit>::USES_GROUP_COMMIT)
        }
        None => without(ty, "GroupCommit", "GROUP_COMMIT", "group_commit"),
    };
    let expires = block.attr.expire.as_ref().map(remove_expired);
    let without_expire = without(ty, "Expire", "EXPIRE", "expire");
    let has_expire = match &block.attr.expire {
        Some(ExpireAttr { fields, .. }) if fields.is_empty() => quote!(true),
        Some(_) => quote!(!#without_expire),
        None => without_expire,
    };
    let prefetches = block.attr.prefetch.as_ref().map(|prefetch| {
        quote_spanned! {prefetch.span()=>

            #[inline]
            fn prefetch<'keys>(
                &self,
                client: &::thegiant::Client,
                keys: impl ::std::iter::Iterator<Item = &'keys [u8]>,
            ) {
                ::thegiant::__private::prefetch(self, client, keys)
            }
        }
    });
    let has_prefetch = match &block.attr.prefetch {
        Some(_) => quote!(true),
        None => without(ty, "Prefetch", "PREFETCH", "prefetch"),
    };
    quote! {
        // rustc reports the two traits of a second block by names that say nothing to the user. It reports this constant, too.
        #[automatically_derived]
        impl #generics #ty #bounds {
            #[doc(hidden)]
            const one_block_needs_rows_NAME_and_the_other_include_NAME: () = ();
        }

        #[automatically_derived]
        #[allow(deprecated)]
        impl #generics ::thegiant::command::Commands for #ty #bounds {
            const ROWS: &'static [&'static [::thegiant::command::Row<Self>]] =
                &[&[#(#rows),*], #(Self::#include),*];
            const USES_GROUP_COMMIT: bool = #uses_group_commit;
            const EXPIRES: bool = #has_expire;
            const PREFETCHES: bool = #has_prefetch;
            #expires
            #prefetches
        }

        #[automatically_derived]
        #[doc(hidden)]
        impl #generics ::thegiant::__private::Handler<::thegiant::__private::RunBatches> for #ty #actor_bounds {
            type Result = ();

            fn handle(
                &mut self,
                message: ::thegiant::__private::RunBatches,
                context: &mut <Self as ::thegiant::__private::Actor>::Context,
            ) {
                #run_batches
            }
        }

        // If there is one handler only, rustc takes each message that is sent to the actor for the one that it handles.
        #[automatically_derived]
        #[doc(hidden)]
        impl #generics ::thegiant::__private::Handler<::thegiant::__private::NoMessage> for #ty #actor_bounds {
            type Result = ();

            fn handle(
                &mut self,
                message: ::thegiant::__private::NoMessage,
                _: &mut <Self as ::thegiant::__private::Actor>::Context,
            ) {
                match message {}
            }
        }
    }
}

/// Generates the method that removes the expired keys of the actor, or those of its fields.
fn remove_expired(ExpireAttr { word, fields }: &ExpireAttr) -> TokenStream {
    // The spans make rustc report a missing `Expire` at the word or at the field.
    let of_actor = fields
        .is_empty()
        .then(|| quote_spanned!(word.span()=> ::thegiant::__private::remove_expired(self, keyspace)));
    let of_fields = fields.iter().map(|field| {
        quote_spanned!(field.span()=> ::thegiant::__private::remove_expired(&mut self.#field, keyspace))
    });
    let removed = of_actor.into_iter().chain(of_fields);
    quote! {
        fn remove_expired(&mut self, keyspace: &::thegiant::Keyspace) -> bool {
            #(#removed)|*
        }
    }
}

/// Generates `false`, or an error if the actor implements the trait: without the word, nothing would use the trait.
fn without(actor: &Type, name: &str, constant: &str, word: &str) -> TokenStream {
    let constant = Ident::new(constant, Span::call_site());
    let text = format!(
        "`{}` implements `{name}`, but `#[commands]` does not use it: write `#[commands({word})]`",
        quote!(#actor)
    );
    quote_spanned! {actor.span()=> {
        // Only a type that does not implement the trait needs it.
        #[allow(unused_imports)]
        use ::thegiant::__private::ImplementsNot as _;
        const { ::std::assert!(!::thegiant::__private::Implements::<Self>::#constant, #text) };
        false
    }}
}
