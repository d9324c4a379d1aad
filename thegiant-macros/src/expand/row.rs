//! Generates rows: the description of a command, and the function that runs it.

use proc_macro2::TokenStream;
use quote::{ToTokens, format_ident, quote, quote_spanned};
use syn::{Ident, LitStr, ReturnType, Type, spanned::Spanned};

use crate::{
    attr::{KeyAttr, KeyWords, SplitAttr},
    model::{Block, Command, Param, Role},
    types,
};

pub(super) fn of_block(block: &Block<'_>) -> Vec<TokenStream> {
    let group = block.group();
    block.commands.iter().map(|command| row(command, &group)).collect()
}

fn row(command: &Command<'_>, group: &str) -> TokenStream {
    let cfgs = command.cfgs();
    let spec = spec(command, group);
    let run = run(command);
    quote!(#(#cfgs)* ::thegiant::command::Row::new(#spec, #run))
}

fn spec(command: &Command<'_>, group: &str) -> TokenStream {
    let attr = &command.attr;
    let (name, aliases, since, event) = (&attr.name, &attr.aliases, attr.since.iter(), attr.event.iter());
    let timeout = attr.timeout.iter().map(|time| quote!(::core::time::Duration::from_millis(#time)));
    let args = args(command);
    let flags = attr.flags.iter().map(|flag| Ident::new(&flag.to_string().to_uppercase(), flag.span()));
    let (summary, docs) = (&command.docs.summary, docs(command).into_iter());
    let reply_spec = reply_spec(command);
    let group = attr.group.as_ref().map_or_else(|| group.to_owned(), LitStr::value);
    let categories = &attr.categories;
    let may_stream = may_stream(command);
    let split = attr.split.iter().map(split);
    let reports_keys = command.params.iter().any(|param| param.role == Role::KeyEvents);
    quote! {
        ::thegiant::command::Spec::new(#name, #args)
            .flags(::thegiant::command::Flags::NONE #(.union(::thegiant::command::Flags::#flags))*)
            .aliases(&[#(#aliases),*])
            .summary(#summary)
            .group(#group)
            .categories(&[#(#categories),*])
            #(.since(#since))*
            #(.event(#event))*
            #(.with_docs(#docs))*
            .reply(#reply_spec)
            #(.timeout(#timeout))*
            .may_stream(#may_stream)
            .reports_keys(#reports_keys)
            #(#split)*
    }
}

/// Generates the use of a parameter's keys.
fn key_use(key: &KeyAttr) -> TokenStream {
    let flags = key_flags(&key.flags);
    let with = key.with.iter().map(|(token, words)| {
        let flags = key_flags(words);
        quote!(.with(#token, #flags))
    });
    quote!(::thegiant::command::KeyUse::new(#flags)#(#with)*)
}

fn key_flags(words: &KeyWords) -> TokenStream {
    let flags = words.words.iter().map(|word| Ident::new(&word.to_string().to_uppercase(), word.span()));
    quote!(::thegiant::command::KeyFlags::NONE #(.union(::thegiant::command::KeyFlags::#flags))*)
}

/// Generates the call that sets how the command runs on several shards.
fn split(split: &SplitAttr) -> TokenStream {
    let [request, response] = policies(split);
    quote_spanned!(split.word.span()=> .split(#request, #response))
}

/// Generates the policies for the requests and for the replies.
fn policies(split: &SplitAttr) -> [TokenStream; 2] {
    let span = split.word.span();
    let [request, response] = [split.request, split.response].map(|name| Ident::new(name, span));
    [
        quote_spanned!(span=> ::thegiant::command::RequestPolicy::#request),
        quote_spanned!(span=> ::thegiant::command::ResponsePolicy::#response),
    ]
}

/// Generates the documentation beyond the summary, if there is any.
fn docs(command: &Command<'_>) -> Option<TokenStream> {
    let (attr, docs) = (&command.attr, &command.docs);
    let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty()).into_iter();
    let (description, errors) = (text(&docs.description), text(&docs.errors));
    let arguments = docs.arguments.iter().map(|argument| {
        let (name, text) = (command.documented_name(&argument.name), &argument.text);
        quote!((#name, #text))
    });
    let arguments: Vec<_> = arguments.collect();
    let arguments = Some(quote!(.arguments(&[#(#arguments),*]))).filter(|_| !arguments.is_empty());
    let complexity = attr.complexity.iter();
    let (since, replacement) = (attr.deprecated_since.iter(), attr.replaced_by.iter());
    let parts = quote! {
        #(.description(#description))*
        #arguments
        #(.errors(#errors))*
        #(.complexity(#complexity))*
        #(.deprecated_since(#since))*
        #(.replaced_by(#replacement))*
    };
    Some(quote!(&const { ::thegiant::command::Docs::NONE #parts })).filter(|_| !parts.is_empty())
}

/// Generates the type of the reply.
fn reply_spec(command: &Command<'_>) -> TokenStream {
    let generics = &command.function.sig.generics;
    if let Some(responder) = command.responder() {
        let sent = types::parameter(responder.ty).map(|sent| types::inferred(sent, generics));
        return sent.map_or(quote!(::thegiant::command::ReplySpec::Any), as_reply_spec);
    }
    let returned = match &command.function.sig.output {
        ReturnType::Default => return quote!(::thegiant::command::ReplySpec::Ok),
        ReturnType::Type(_, ty) => ty,
    };
    let Some(returned) = types::without_impl_iterator(returned) else {
        return quote!(::thegiant::command::ReplySpec::Any);
    };
    let returned = types::inferred(&returned, generics);
    if command.is_async() {
        return as_reply_spec(returned);
    }
    quote!(<#returned as ::thegiant::command::Answer<Self>>::REPLY)
}

fn as_reply_spec(ty: Type) -> TokenStream {
    quote!(<#ty as ::thegiant::Reply>::REPLY)
}

/// Generates the constant that says whether the reply may be streamed.
fn may_stream(command: &Command<'_>) -> TokenStream {
    if command.responder().is_some() || command.is_async() {
        return quote!(false);
    }
    // A constant cannot name the type behind `impl Trait`.
    let hidden = match &command.function.sig.output {
        ReturnType::Type(_, ty) => types::impl_trait_in(ty),
        ReturnType::Default => None,
    };
    match hidden {
        Some(hidden) => {
            let may_stream = !types::has_bound(&hidden, "Reply");
            quote!(#may_stream)
        }
        None => {
            let returned = returned(command);
            quote!(<#returned as ::thegiant::command::Answer<Self>>::MAY_STREAM)
        }
    }
}

/// Returns the type that the method returns.
fn returned(command: &Command<'_>) -> TokenStream {
    let signature = &command.function.sig;
    match &signature.output {
        ReturnType::Default => quote!(()),
        ReturnType::Type(_, ty) => types::inferred(ty, &signature.generics).into_token_stream(),
    }
}

/// Generates the descriptions of the arguments.
///
/// It also generates a check of the key positions per argument, each with the span of the argument.
fn args(command: &Command<'_>) -> TokenStream {
    let (count, words) = (command.arguments().count(), command.attr.words());
    let args = command.arguments().map(|param| {
        let (from_arg, name) = (from_arg(command, param), param.name());
        let key_use = param.key.iter().map(key_use);
        quote!(#from_arg::ARG.named(#name)#(.key_use(#key_use))*)
    });
    let checks = command.arguments().enumerate().map(|(index, param)| {
        quote_spanned!(param.ty.span()=> ::thegiant::__private::check_keys(#words, &args, #index))
    });
    let check_key_uses = command.arguments().enumerate().filter_map(|(index, param)| {
        let key = param.key.as_ref()?;
        let span = key.flags.attr.span();
        Some(quote_spanned!(span=> ::thegiant::__private::check_key_use(&args, #index);))
    });
    let check_tokens = command.arguments().filter_map(|param| {
        let (token, _) = param.key.as_ref()?.with.as_ref()?;
        Some(quote_spanned!(token.span()=> ::thegiant::__private::check_key_token(&args, #token);))
    });
    let check_docs = command.docs.arguments.iter().map(|argument| {
        let name = command.documented_name(&argument.name);
        let text = format!(
            "the command has no argument and no option `{name}`: correct the name or remove the line"
        );
        quote_spanned! {argument.span=>
            ::core::assert!(::thegiant::__private::has_argument(&args, #name), #text)
        }
    });
    let check_tenant_safe = command
        .attr
        .flag("tenant_safe")
        .map(|flag| quote_spanned!(flag.span()=> ::thegiant::__private::check_tenant_safe(&args);));
    let check_split = command.attr.split.as_ref().map(|split| {
        let (span, reply) = (split.word.span(), reply_spec(command));
        let [request, response] = policies(split);
        quote_spanned! {span=>
            ::thegiant::__private::check_split(#words, &args, #request);
            ::thegiant::__private::check_merge(#reply, #request, #response);
        }
    });
    quote! {
        &const {
            let args: [::thegiant::command::ArgSpec; #count] = [#(#args),*];
            #(#checks;)*
            #(#check_docs;)*
            #check_split
            #check_tenant_safe
            #(#check_key_uses)*
            #(#check_tokens)*
            args
        }
    }
}

/// Generates the function that reads the arguments, calls the method and writes the reply.
fn run(command: &Command<'_>) -> TokenStream {
    let reads = command.params.iter().enumerate().filter_map(|(index, param)| read(command, index, param));
    let reply = reply(command);
    quote! {
        |this: &mut Self, request, context: &mut <Self as ::thegiant::command::Receiver>::CommandContext, out| {
            let mut args = request.args();
            #(#reads)*
            if let ::core::result::Result::Err(error) = args.finish() {
                return out.error(&error);
            }
            #reply
        }
    }
}

fn read(command: &Command<'_>, index: usize, param: &Param<'_>) -> Option<TokenStream> {
    if param.role != Role::Argument {
        return None;
    }
    let value = value(index);
    let from_arg = from_arg(command, param);
    Some(quote! {
        let #value = match #from_arg::from_arg(&mut args) {
            ::core::result::Result::Ok(value) => value,
            ::core::result::Result::Err(error) => return out.error(&error),
        };
    })
}

/// Generates the call of the method. It names the return type, so that rustc reports errors there.
fn reply(command: &Command<'_>) -> TokenStream {
    let signature = &command.function.sig;
    let method = &signature.ident;
    let values = command.params.iter().enumerate().map(|(index, param)| {
        let span = param.ty.span();
        match param.role {
            Role::Argument | Role::Responder => value(index).into_token_stream(),
            Role::Client => quote_spanned!(span=> request.client()),
            Role::Request => quote_spanned!(span=> request),
            Role::Context => quote_spanned!(span=> context),
            Role::KeyEvents => quote_spanned!(span=> out.key_events()),
            Role::OwnedClient => quote_spanned!(span=> ::core::clone::Clone::clone(request.client())),
        }
    });
    let returned = returned(command);
    if let Some(index) = command.params.iter().position(|param| param.role == Role::Responder) {
        let (value, span) = (value(index), command.params[index].ty.span());
        // It borrows `out` before the key events do, whatever their order.
        let responder = quote_spanned!(span=> let #value = ::thegiant::__private::responder(request, out););
        return quote! {
            #responder
            Self::#method(this, #(#values),*)
        };
    }
    if command.is_async() {
        return quote! {
            let future: ::thegiant::__private::ResponseFuture<#returned> =
                ::std::boxed::Box::pin(Self::#method(#(#values),*));
            ::thegiant::command::Answer::<Self>::answer(future, request, context, out)
        };
    }
    quote! {
        <#returned as ::thegiant::command::Answer<Self>>::answer(Self::#method(this, #(#values),*), request, context, out)
    }
}

fn from_arg(command: &Command<'_>, param: &Param<'_>) -> TokenStream {
    let ty = types::inferred(param.ty, &command.function.sig.generics);
    quote!(<#ty as ::thegiant::FromArg<'_>>)
}

/// Returns the variable of a parameter.
fn value(index: usize) -> Ident {
    format_ident!("value{index}")
}
