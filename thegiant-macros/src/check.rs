//! Finds the mistakes in an `impl` block that are visible in its syntax.

use std::collections::HashMap;

use syn::{FnArg, GenericParam, Ident, Pat, ReceiverKind, ReturnType, Signature, Type};

use crate::{
    attr::{ClientAttr, check_category, is_write},
    mistakes::Mistakes,
    model::{Block, Command, Param, Role},
    types,
};

const GENERIC: &str = "a command method cannot be generic: write the concrete type";

/// Adds all mistakes in the block.
pub(crate) fn block(block: &Block<'_>, mistakes: &mut Mistakes) {
    if let Some((path, _)) = &block.item.trait_ {
        mistakes.at(path, "`#[commands]` does not support trait impls: use an `impl` block of the type");
    }
    for lifetime in block.item.generics.lifetimes() {
        mistakes.at(
            lifetime,
            "the type of an actor cannot have lifetimes, because an actor may live as long as the program: own the data, or \
             share it with an `Arc`",
        );
    }
    if let (Some(_), Some(included)) = (&block.attr.rows, block.attr.include.first()) {
        mistakes.at(
            included,
            "a block with `rows` cannot include other blocks: move `include` to the block without `rows`",
        );
    }
    if block.attr.rows.is_some() {
        let words = [
            (block.attr.group_commit.as_ref(), "group_commit"),
            (block.attr.expire.as_ref().map(|expire| &expire.word), "expire"),
            (block.attr.prefetch.as_ref(), "prefetch"),
        ];
        for (word, name) in words {
            let text =
                format!("a block with `rows` cannot have `{name}`: move it to the block without `rows`");
            word.iter().for_each(|word| mistakes.at(word, &text));
        }
    }
    if let Some(group) = &block.attr.group {
        check_category(group, mistakes);
    }
    if let Some(client) = &block.attr.client {
        self::client(block, client, mistakes);
    }
    for command in &block.commands {
        self::command(command, mistakes);
    }
    duplicates(&block.commands, mistakes);
}

fn client(block: &Block<'_>, client: &ClientAttr, mistakes: &mut Mistakes) {
    if let Some(param) = block.item.generics.params.first() {
        mistakes
            .at(param, "a generic actor cannot have a client: remove `client`, or write the concrete type");
    }
    if let Some(name) = client.name.as_ref().filter(|name| name.parse::<Ident>().is_err()) {
        mistakes
            .at(name, "the name of the client is no name of a type: write a name such as `\"StoreClient\"`");
    }
}

fn command(command: &Command<'_>, mistakes: &mut Mistakes) {
    names(command, mistakes);
    if let (Some(write), Some(_)) = (command.attr.flag("write"), command.attr.flag("readonly")) {
        mistakes.at(write, "a command cannot be both `write` and `readonly`: remove one");
    }
    if let (Some(blocking), Some(_)) = (command.attr.flag("blocking"), &command.attr.split) {
        mistakes
            .at(blocking, "a command for several shards cannot be `blocking`: it would wait for all of them");
    }
    command.params.iter().for_each(|param| key_use(command, param, mistakes));
    signature(&command.function.sig, mistakes);
    if command.is_async() {
        asynchronous(command, mistakes);
    } else {
        receiver(&command.function.sig, mistakes);
    }
    responder(command, mistakes);
    command.arguments().for_each(|param| argument(param, mistakes));
    for events in command.params.iter().filter(|param| param.role == Role::KeyEvents) {
        if command.attr.flag("write").is_none() {
            mistakes.at(events.ty, "only a `write` command changes keys: add the flag `write`");
        }
    }
    for second in command.params.iter().filter(|param| param.role == Role::Context).skip(1) {
        mistakes
            .at(second.ty, "a second `&mut` parameter: only the actor's context is `&mut`, so remove one");
    }
    for context in command.params.iter().filter(|param| param.role == Role::Context) {
        self::context(context.ty, mistakes);
    }
    order(command.arguments().map(|param| param.ty), mistakes);
}

/// Adds the mistakes of a parameter's `#[key]` that depend on the command.
fn key_use(command: &Command<'_>, param: &Param<'_>, mistakes: &mut Mistakes) {
    let Some(key) = &param.key else { return };
    if param.role != Role::Argument {
        mistakes
            .at(&key.flags.attr, "`#[key]` is for keys, and this parameter is no argument: remove `#[key]`");
    }
    let write = key.words().find(|word| is_write(word));
    if let (Some(_), Some(write)) = (command.attr.flag("readonly"), write) {
        mistakes.at(write, format_args!("a `readonly` command does not change its keys: remove `{write}`, or make it a `write` command"));
    }
}

/// Adds a mistake for a mutable reference to a type that is an argument, not a context.
fn context(ty: &Type, mistakes: &mut Mistakes) {
    const ARGUMENTS: [&str; 9] =
        ["String", "str", "Vec", "Option", "Bytes", "Key", "Client", "Request", "Responder"];
    let Type::Reference(reference) = types::ungrouped(ty) else { return };
    if ARGUMENTS.iter().any(|name| types::is_named(&reference.elem, name)) {
        let name = types::name(&reference.elem);
        mistakes.at(
            ty,
            format_args!(
                "only `&mut Context<Self>` and `&mut KeyEvents` are mutable: take `{name}` without `&mut`"
            ),
        );
    }
}

fn names(command: &Command<'_>, mistakes: &mut Mistakes) {
    for name in command.attr.names() {
        if let Err(message) = self::name(&name.value()) {
            mistakes.at(name, message);
        } else if name.value().split(' ').count() != command.attr.words() {
            mistakes.at(name, "this alias has another number of words than the name: use the same number");
        }
    }
}

fn name(name: &str) -> Result<(), String> {
    let words: Vec<&str> = name.split(' ').collect();
    if name.is_empty() {
        return Err("the command name is empty: write a name such as `\"GET\"`".to_owned());
    }
    if words.contains(&"") {
        return Err("surplus space in a command name: separate the two words with one space".to_owned());
    }
    if words.len() > 2 {
        return Err("a command name has more than two words: use a command and a subcommand".to_owned());
    }
    words.into_iter().try_for_each(|part| word(part, "command name"))
}

/// Checks that a word is printable ASCII in capitals. `kind` names it in the error.
pub(crate) fn word(word: &str, kind: &str) -> Result<(), String> {
    if word.contains(|c: char| !c.is_ascii_graphic() || c == '"' || c == '\'') {
        return Err(format!("invalid {kind}: use printable ASCII without spaces and quotes"));
    }
    if word.contains(|c: char| c.is_ascii_lowercase()) {
        return Err(format!("{kind} in lower case: write `\"{}\"`", word.to_ascii_uppercase()));
    }
    Ok(())
}

fn signature(signature: &Signature, mistakes: &mut Mistakes) {
    for param in &signature.generics.params {
        if !matches!(param, GenericParam::Lifetime(_)) {
            mistakes.at(param, GENERIC);
        }
    }
}

/// An `async fn` runs longer than its request, while the actor runs other commands.
fn asynchronous(command: &Command<'_>, mistakes: &mut Mistakes) {
    if let Some(FnArg::Receiver(receiver)) = command.function.sig.inputs.first() {
        let text = "an `async fn` cannot borrow the actor while it waits: remove `self`, or write a `fn` that \
                    returns a `ResponseActFuture<Self, T>`";
        mistakes.at(receiver, text);
    }
    for param in &command.params {
        if let Some(reference) = types::reference_in(param.ty) {
            let text = "an `async fn` cannot borrow from the request: take `String`, `Bytes`, `Client` or another \
                        owned type";
            mistakes.at(reference, text);
        }
    }
}

/// The reply is either the return value or the value that the responder sends.
fn responder(command: &Command<'_>, mistakes: &mut Mistakes) {
    let Some(_) = command.responder() else { return };
    if let ReturnType::Type(_, ty) = &command.function.sig.output {
        let text = "a method with a `Responder` cannot return a value: send the reply with the `Responder`";
        mistakes.at(ty, text);
    }
    if let Some(asyncness) = &command.function.sig.asyncness {
        mistakes.at(
            asyncness,
            "a method with a `Responder` cannot be an `async fn`: remove `async` or the `Responder`",
        );
    }
    for second in command.params.iter().filter(|param| param.role == Role::Responder).skip(1) {
        mistakes.at(second.ty, "a second `Responder`: a command has one reply, so remove one");
    }
}

fn receiver(signature: &Signature, mistakes: &mut Mistakes) {
    match signature.inputs.first() {
        Some(FnArg::Receiver(receiver)) if matches!(receiver.kind, ReceiverKind::Reference(..)) => {}
        Some(FnArg::Receiver(receiver)) => {
            mistakes
                .at(receiver, "a command cannot take ownership of its actor: take `&self` or `&mut self`");
        }
        _ => {
            mistakes.at(&signature.ident, "a command method without a receiver: take `&self` or `&mut self`")
        }
    }
}

fn argument(param: &Param<'_>, mistakes: &mut Mistakes) {
    if let Type::ImplTrait(ty) = param.ty {
        mistakes.at(ty, GENERIC);
    }
    if types::is_named(types::inside_option(param.ty).unwrap_or(param.ty), "bool") {
        let text = "a `bool` is no argument: for a word such as `FORCE`, take a struct with `#[derive(Args)]` that has a \
                    `bool`; for one of several words, an enum with `#[derive(FromArg)]`";
        mistakes.at(param.ty, text);
    }
    match param.pat {
        Pat::Ident(pat) if pat.by_ref.is_none() && pat.subpat.is_none() => {}
        pat => mistakes.at(pat, "this parameter has no name: give it one for `COMMAND DOCS`"),
    }
}

/// Checks that optional and repeated parameters come last, because arguments have no names.
pub(crate) fn order<'a>(types: impl Iterator<Item = &'a Type>, mistakes: &mut Mistakes) {
    let (mut optional, mut rest) = (None, false);
    for ty in types {
        if rest {
            return mistakes.at(
                ty,
                "the `Vec` before this parameter reads all remaining arguments: move the `Vec` to the end",
            );
        }
        if types::is_named(ty, "Option") {
            optional = optional.or(Some(ty));
        } else if let Some(optional) = optional {
            let text = "an `Option` before a required parameter: move it to the end, or make that parameter optional";
            return mistakes.at(optional, text);
        }
        rest = types::is_rest(ty);
    }
}

/// Finds names that two methods share, unless both are conditional (`#[cfg]`).
fn duplicates(commands: &[Command<'_>], mistakes: &mut Mistakes) {
    let mut seen: HashMap<String, &Command<'_>> = HashMap::new();
    for command in commands {
        for name in command.attr.names() {
            let folded = name.value().to_ascii_uppercase();
            match seen.get(&folded) {
                Some(first) if !(is_conditional(first) && is_conditional(command)) => {
                    let method = &first.function.sig.ident;
                    mistakes.at(
                        name,
                        format_args!(
                            "duplicate command name `{folded}`: the method `{method}` has it already"
                        ),
                    );
                }
                _ => drop(seen.insert(folded, command)),
            }
        }
    }
}

fn is_conditional(command: &Command<'_>) -> bool {
    command.cfgs().next().is_some()
}
