//! Generates the client of an actor: a struct with a method for each command.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::{Attribute, Ident, Pat, ReturnType, Type, ext::IdentExt, spanned::Spanned};

use super::client_types::{ArgShape, reply_type};
use crate::{
    model::{Block, Command, Param},
    types,
};

/// Generates the client, if the attribute of the block has the word `client`.
pub(super) fn of_block(block: &Block<'_>) -> Option<TokenStream> {
    let attr = block.attr.client.as_ref()?;
    let name = match &attr.name {
        Some(name) => name.parse().ok()?,
        None => format_ident!("{}Client", types::name(&block.item.self_ty), span = attr.word.span()),
    };
    // The block without `rows` has the struct. The methods of all blocks belong to it.
    let declaration = block.attr.rows.is_none().then(|| declaration(block, &name, attr.word.span()));
    let methods = block.commands.iter().filter(|command| command.attr.no_client.is_none()).map(method);
    Some(quote! {
        #declaration

        #[allow(clippy::all, clippy::pedantic, dead_code, unreachable_pub, private_interfaces, private_bounds)]
        impl #name {
            #(#methods)*
        }
    })
}

fn declaration(block: &Block<'_>, name: &Ident, span: Span) -> TokenStream {
    let doc = format!("A client of the commands of `{}`.", types::name(&block.item.self_ty));
    // The span makes rustc report a missing dependency at the word `client`.
    let connection = quote_spanned!(span=> ::thegiant_client::Connection);
    quote! {
        #[doc = #doc]
        #[allow(dead_code, unreachable_pub)]
        #[derive(::core::clone::Clone, ::core::fmt::Debug)]
        pub struct #name {
            connection: #connection,
        }

        /// Calls the commands over this connection.
        impl ::core::convert::From<#connection> for #name {
            fn from(connection: #connection) -> Self {
                #name { connection }
            }
        }

        impl ::core::convert::AsRef<#connection> for #name {
            fn as_ref(&self) -> &#connection {
                &self.connection
            }
        }
    }
}

fn method(command: &Command<'_>) -> TokenStream {
    let cfgs = command.cfgs();
    let (docs, deprecated) = (docs(command), deprecated(command));
    let (ident, name) = (&command.function.sig.ident, &command.attr.name);
    let generics = &command.function.sig.generics;
    let arguments: Vec<_> = command
        .arguments()
        .map(|param| (argument_name(param), ArgShape::of(&types::inferred(param.ty, generics))))
        .collect();
    let params = arguments.iter().map(|(name, shape)| {
        let ty = shape.param_type();
        quote!(#name: #ty)
    });
    let lifetime = ArgShape::generics(arguments.iter().map(|(_, shape)| shape));
    // The hygiene of a local variable keeps it apart from a parameter of the same name.
    let request = Ident::new("request", Span::mixed_site());
    let words = arguments.iter().map(|(name, shape)| shape.words(&quote!(#name), &request));
    let reply = reply(command);
    quote! {
        #(#cfgs)*
        #docs
        #deprecated
        pub fn #ident #lifetime(&self, #(#params),*) -> ::thegiant_client::Call<#reply> {
            #[allow(unused_mut)]
            let mut #request = ::thegiant_client::RequestBuilder::new(#name);
            #(#words)*
            let connection: &::thegiant_client::Connection = ::core::convert::AsRef::as_ref(self);
            ::thegiant_client::Connection::send::<#reply>(connection, #request)
        }
    }
}

fn docs(command: &Command<'_>) -> TokenStream {
    let docs = command.function.attrs.iter().filter(|attr| attr.path().is_ident("doc"));
    let calls = format!("Calls the command `{}`.", command.attr.name.value());
    let blocking = command.attr.flag("blocking").map(|_| {
        let text = "\n\nThe later calls of the connection wait until the command has its reply.";
        quote!(#[doc = #text])
    });
    let separator = (!command.docs.summary.is_empty()).then(|| quote!(#[doc = ""]));
    quote!(#(#docs)* #separator #[doc = #calls] #blocking)
}

fn deprecated(command: &Command<'_>) -> TokenStream {
    let is_own = |attr: &&Attribute| attr.path().is_ident("deprecated");
    if let Some(own) = command.function.attrs.iter().find(is_own) {
        return own.into_token_stream();
    }
    let Some(since) = &command.attr.deprecated_since else { return TokenStream::new() };
    let note = command.attr.replaced_by.iter();
    quote!(#[deprecated(since = #since #(, note = #note)*)])
}

/// Returns the name of a parameter, without the leading `_` of an unused one.
fn argument_name(param: &Param<'_>) -> Ident {
    let Pat::Ident(pat) = param.pat else { return Ident::new("argument", param.pat.span()) };
    let name = pat.ident.unraw().to_string();
    let shown = syn::parse_str::<Ident>(name.trim_start_matches('_'));
    match shown {
        Ok(shown) if name.starts_with('_') => Ident::new(&shown.to_string(), pat.ident.span()),
        _ => pat.ident.clone(),
    }
}

/// Returns the type of the reply.
fn reply(command: &Command<'_>) -> Type {
    let signature = &command.function.sig;
    let written = match (command.responder(), &signature.output) {
        (Some(responder), _) => responder.ty,
        (None, ReturnType::Type(_, ty)) => &**ty,
        (None, ReturnType::Default) => return syn::parse_quote!(()),
    };
    reply_type(written)
}
