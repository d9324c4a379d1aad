//! The code that the attributes write.

mod row;

use proc_macro2::{Span, TokenStream};
use quote::quote;
use syn::{Error, ImplItem, Item, ItemImpl};

use crate::{
    attr::BlockAttr,
    check,
    mistakes::Mistakes,
    model::{Block, cfgs, is_command},
};

/// `#[commands]`: the block, and the rows of its commands. After a mistake there are no rows, and so
/// no second error.
pub(crate) fn commands(attr: TokenStream, item: TokenStream) -> TokenStream {
    let mut mistakes = Mistakes::default();
    let attr = BlockAttr::read(attr, &mut mistakes);
    let Some(item) = mistakes.ok(impl_block(&item)) else {
        return quote!(#mistakes #item);
    };
    let block = Block::read(attr, &item, &mut mistakes);
    check::block(&block, &mut mistakes);
    let rows = if mistakes.is_empty() { row::of_block(&block) } else { Vec::new() };
    let implementation = implementation(&block, &rows);
    let evaluated = evaluated(&block);
    let cfgs = cfgs(&item.attrs);
    let item = without_command_attributes(&item);
    quote! {
        #mistakes
        #item
        #(#cfgs)*
        const _: () = {
            #implementation
            #evaluated
        };
    }
}

/// `#[command]` where no `#[commands]` has taken it away.
pub(crate) fn stray_command(item: TokenStream) -> TokenStream {
    let text = "`#[command]` belongs on a method inside an `impl` block with `#[commands]` above it";
    let error = Error::new(Span::call_site(), text).to_compile_error();
    quote!(#error #item)
}

fn impl_block(item: &TokenStream) -> syn::Result<ItemImpl> {
    match syn::parse2(item.clone())? {
        Item::Impl(block) => Ok(block),
        _ => Err(Error::new(Span::call_site(), "`#[commands]` belongs above an `impl` block")),
    }
}

fn without_command_attributes(item: &ItemImpl) -> ItemImpl {
    let mut item = item.clone();
    for item in &mut item.items {
        if let ImplItem::Fn(function) = item {
            function.attrs.retain(|attr| !is_command(attr));
        }
    }
    item
}

fn implementation(block: &Block<'_>, rows: &[TokenStream]) -> TokenStream {
    if block.attr.rows.is_some() { constant(block, rows) } else { traits(block, rows) }
}

/// Rows for another block to include.
fn constant(block: &Block<'_>, rows: &[TokenStream]) -> TokenStream {
    let ty = &block.item.self_ty;
    let (generics, _, bounds) = block.item.generics.split_for_impl();
    let name = &block.attr.rows;
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
    let (generics, _, bounds) = block.item.generics.split_for_impl();
    let include = &block.attr.include;
    quote! {
        #[automatically_derived]
        #[allow(deprecated)]
        impl #generics ::thegiant::command::Commands for #ty #bounds {
            const ROWS: &'static [&'static [::thegiant::command::Row<Self>]] =
                &[&[#(#rows),*], #(Self::#include),*];
        }

        #[automatically_derived]
        impl #generics ::thegiant::__private::Handler<::thegiant::__private::Drain> for #ty #bounds {
            type Result = ();

            fn handle(
                &mut self,
                message: ::thegiant::__private::Drain,
                context: &mut <Self as ::thegiant::__private::Actor>::Context,
            ) {
                ::thegiant::__private::drain(self, message, context)
            }
        }
    }
}

/// Has the rows evaluated even where nothing mounts them: what is wrong with the keys is found in a
/// `const`, and rustc evaluates those of an `impl` only when they are used. Of a generic type it
/// has to wait for that.
fn evaluated(block: &Block<'_>) -> Option<TokenStream> {
    let ty = &block.item.self_ty;
    let rows = match &block.attr.rows {
        Some(name) => quote!(<#ty>::#name),
        None => quote!(<#ty as ::thegiant::command::Commands>::ROWS[0]),
    };
    let concrete = block.item.generics.params.is_empty();
    concrete.then(|| quote!(const _: &[::thegiant::command::Row<#ty>] = #rows;))
}
