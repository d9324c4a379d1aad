//! What is wrong with an `impl` block with commands, as far as it shows before types are known.

use std::collections::HashMap;

use syn::{FnArg, GenericParam, Pat, ReceiverKind, ReturnType, Signature, Type};

use crate::{
    mistakes::Mistakes,
    model::{Block, Command, Param, Role},
    types,
};

const GENERIC: &str = "a `#[command]` method cannot be generic: name the type that is read";

/// Notes every mistake in the block.
pub(crate) fn block(block: &Block<'_>, mistakes: &mut Mistakes) {
    if let Some((path, _)) = &block.item.trait_ {
        mistakes.at(path, "`#[commands]` belongs above an `impl` block of the type itself, not of a trait");
    }
    if let (Some(_), Some(included)) = (&block.attr.rows, block.attr.include.first()) {
        mistakes.at(included, "a block with `rows` includes no others: do that in the block without `rows`");
    }
    if let (Some(_), Some(group_commit)) = (&block.attr.rows, &block.attr.group_commit) {
        let text = "a block with `rows` does not say how the actor uses_group_commit: do that in the block without `rows`";
        mistakes.at(group_commit, text);
    }
    for command in &block.commands {
        self::command(command, mistakes);
    }
    duplicates(&block.commands, mistakes);
}

fn command(command: &Command<'_>, mistakes: &mut Mistakes) {
    names(command, mistakes);
    if let (Some(write), Some(_)) = (command.attr.flag("write"), command.attr.flag("readonly")) {
        mistakes.at(write, "a command is `write` or `readonly`, not both");
    }
    signature(&command.function.sig, mistakes);
    if command.is_async() {
        asynchronous(command, mistakes);
    } else {
        receiver(&command.function.sig, mistakes);
    }
    responder(command, mistakes);
    command.arguments().for_each(|param| argument(param, mistakes));
    for second in command.params.iter().filter(|param| param.role == Role::Context).skip(1) {
        mistakes.at(second.ty, "one `&mut` parameter is the actor's context, and there is no other");
    }
    order(command.arguments().map(|param| param.ty), mistakes);
}

fn names(command: &Command<'_>, mistakes: &mut Mistakes) {
    for name in command.attr.names() {
        if let Err(message) = self::name(&name.value()) {
            mistakes.at(name, message);
        } else if name.value().split(' ').count() != command.attr.words() {
            mistakes.at(name, "an alias has as many words as the name");
        }
    }
}

fn name(name: &str) -> Result<(), String> {
    let words: Vec<&str> = name.split(' ').collect();
    if name.is_empty() {
        return Err("the name is empty: write the command's, such as `\"GET\"`".to_owned());
    }
    if words.contains(&"") {
        return Err("one space separates the words of a name, and nothing else is around them".to_owned());
    }
    if words.len() > 2 {
        return Err("a name has at most two words: a command and its subcommand".to_owned());
    }
    words.into_iter().try_for_each(|part| word(part, "command names"))
}

/// Whether a word can be told from others in any case: in capitals, and ASCII.
pub(crate) fn word(word: &str, what: &str) -> Result<(), String> {
    if word.contains(|c: char| !c.is_ascii_graphic() || c == '"' || c == '\'') {
        return Err(format!("{what} are printable ASCII without spaces and quotes"));
    }
    if word.contains(|c: char| c.is_ascii_lowercase()) {
        return Err(format!("{what} are written in capitals: `\"{}\"`", word.to_ascii_uppercase()));
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

/// An `async fn` runs on when others have the actor, and the request is gone.
fn asynchronous(command: &Command<'_>, mistakes: &mut Mistakes) {
    if let Some(FnArg::Receiver(receiver)) = command.function.sig.inputs.first() {
        let text = "an `async fn` would keep its actor from everybody else for as long as it waits: leave out `self` if it \
                    needs nothing of the actor, or write `fn` and return a `ResponseActFuture<Self, T>`";
        mistakes.at(receiver, text);
    }
    for param in &command.params {
        if let Some(reference) = types::reference_in(param.ty) {
            let text = "an `async fn` outlives the request: take what it is to keep, such as `String`, `Bytes` or `Client`";
            mistakes.at(reference, text);
        }
    }
}

/// There is one reply: what the method returns, or what the responder is given.
fn responder(command: &Command<'_>, mistakes: &mut Mistakes) {
    let Some(_) = command.responder() else { return };
    if let ReturnType::Type(_, ty) = &command.function.sig.output {
        let text = "a method with a `Responder` returns nothing: the reply is what the responder sends";
        mistakes.at(ty, text);
    }
    if let Some(asyncness) = &command.function.sig.asyncness {
        mistakes.at(asyncness, "a method with a `Responder` is no `async fn`: its reply comes later anyhow");
    }
    for second in command.params.iter().filter(|param| param.role == Role::Responder).skip(1) {
        mistakes.at(second.ty, "a command has one reply, and so one `Responder`");
    }
}

fn receiver(signature: &Signature, mistakes: &mut Mistakes) {
    match signature.inputs.first() {
        Some(FnArg::Receiver(receiver)) if matches!(receiver.kind, ReceiverKind::Reference(..)) => {}
        Some(FnArg::Receiver(receiver)) => {
            mistakes.at(receiver, "the actor outlives a command: take `&self` or `&mut self`");
        }
        _ => mistakes
            .at(&signature.ident, "a command is a method of its actor: take `&self` or `&mut self` first"),
    }
}

fn argument(param: &Param<'_>, mistakes: &mut Mistakes) {
    if let Type::ImplTrait(ty) = param.ty {
        mistakes.at(ty, GENERIC);
    }
    match param.pat {
        Pat::Ident(pat) if pat.by_ref.is_none() && pat.subpat.is_none() => {}
        pat => mistakes.at(pat, "give the parameter a name: it is the argument's name in the documentation"),
    }
}

/// What a position holds may not depend on what comes behind it.
pub(crate) fn order<'a>(types: impl Iterator<Item = &'a Type>, mistakes: &mut Mistakes) {
    let (mut optional, mut rest) = (None, false);
    for ty in types {
        if rest {
            return mistakes.at(ty, "the `Vec` in front of this takes all that is left: put the `Vec` last");
        }
        if types::is_named(ty, "Option") {
            optional = optional.or(Some(ty));
        } else if let Some(optional) = optional {
            let text =
                "an `Option` comes last: move it behind what is required, or make that an `Option` too";
            return mistakes.at(optional, text);
        }
        rest = types::is_rest(ty);
    }
}

/// A name of two methods that can exist at the same time.
fn duplicates(commands: &[Command<'_>], mistakes: &mut Mistakes) {
    let mut seen: HashMap<String, &Command<'_>> = HashMap::new();
    for command in commands {
        for name in command.attr.names() {
            let folded = name.value().to_ascii_uppercase();
            match seen.get(&folded) {
                Some(first) if !(is_conditional(first) && is_conditional(command)) => {
                    let method = &first.function.sig.ident;
                    mistakes.at(name, format_args!("`{folded}` is taken already: `{method}` answers it"));
                }
                _ => drop(seen.insert(folded, command)),
            }
        }
    }
}

fn is_conditional(command: &Command<'_>) -> bool {
    command.cfgs().next().is_some()
}
