//! The syntax of an `impl` block with commands.

use syn::{Attribute, Expr, ExprLit, FnArg, ImplItem, ImplItemFn, ItemImpl, Lit, Meta, Pat, Type};

use crate::{
    attr::{BlockAttr, CommandAttr},
    mistakes::Mistakes,
    types,
};

/// An `impl` block with `#[commands]`.
pub(crate) struct Block<'a> {
    pub(crate) attr: BlockAttr,
    pub(crate) item: &'a ItemImpl,
    pub(crate) commands: Vec<Command<'a>>,
}

/// A method with `#[command]`.
pub(crate) struct Command<'a> {
    pub(crate) attr: CommandAttr,
    pub(crate) function: &'a ImplItemFn,
    pub(crate) params: Vec<Param<'a>>,
}

/// A parameter after the receiver.
pub(crate) struct Param<'a> {
    pub(crate) pat: &'a Pat,
    pub(crate) ty: &'a Type,
    pub(crate) role: Role,
}

/// The source of a parameter's value.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// The arguments of the request.
    Argument,
    /// The client that sent the request, borrowed.
    Client,
    /// The request as the client sent it.
    Request,
    /// The keys that the command changes.
    KeyEvents,
    /// The actor's context.
    Context,
    /// The client that sent the request, owned.
    OwnedClient,
    /// The handle that sends the reply later.
    Responder,
}

impl<'a> Block<'a> {
    pub(crate) fn read(attr: BlockAttr, item: &'a ItemImpl, mistakes: &mut Mistakes) -> Self {
        let functions = item.items.iter().filter_map(|item| match item {
            ImplItem::Fn(function) => Some(function),
            _ => None,
        });
        let commands = functions.filter_map(|function| Command::read(function, mistakes)).collect();
        Block { attr, item, commands }
    }

    /// Returns the default group of the block's commands.
    pub(crate) fn group(&self) -> String {
        match &self.attr.group {
            Some(group) => group.value(),
            None => types::name(&self.item.self_ty).to_lowercase(),
        }
    }
}

impl<'a> Command<'a> {
    /// Reads a method. Returns `None` if it has no valid `#[command]`.
    fn read(function: &'a ImplItemFn, mistakes: &mut Mistakes) -> Option<Self> {
        let mut attrs = function.attrs.iter().filter(|attr| is_command(attr));
        let attr = CommandAttr::read(attrs.next()?, mistakes)?;
        if let Some(second) = attrs.next() {
            mistakes.at(second, "a method has one `#[command]`: add another name with `alias = \"…\"`");
        }
        let params = function.sig.inputs.iter().filter_map(Param::of).collect();
        Some(Command { attr, function, params })
    }

    pub(crate) fn arguments(&self) -> impl Iterator<Item = &Param<'a>> {
        self.params.iter().filter(|param| param.role == Role::Argument)
    }

    /// Returns the `Responder` parameter.
    pub(crate) fn responder(&self) -> Option<&Param<'a>> {
        self.params.iter().find(|param| param.role == Role::Responder)
    }

    pub(crate) fn is_async(&self) -> bool {
        self.function.sig.asyncness.is_some()
    }

    pub(crate) fn cfgs(&self) -> impl Iterator<Item = &'a Attribute> {
        cfgs(&self.function.attrs)
    }

    /// Returns the first paragraph of the doc comment as one line, without the full stop, as in Redis.
    pub(crate) fn summary(&self) -> String {
        let lines: Vec<String> = self.function.attrs.iter().filter_map(doc).collect();
        let text = lines.join("\n");
        let paragraph: Vec<&str> =
            text.trim_start().lines().map(str::trim).take_while(|line| !line.is_empty()).collect();
        let line = paragraph.join(" ");
        line.strip_suffix('.').unwrap_or(&line).to_owned()
    }
}

impl<'a> Param<'a> {
    /// Returns `None` for the receiver.
    fn of(input: &'a FnArg) -> Option<Self> {
        match input {
            FnArg::Receiver(_) => None,
            FnArg::Typed(typed) => Some(Param { pat: &typed.pat, ty: &typed.ty, role: Role::of(&typed.ty) }),
        }
    }

    /// Returns the name in `COMMAND DOCS`, without the leading `_` of an unused parameter.
    pub(crate) fn name(&self) -> String {
        match self.pat {
            Pat::Ident(pat) if types::is_rest(self.ty) => types::singular(types::documented(&pat.ident)),
            Pat::Ident(pat) => types::documented(&pat.ident),
            _ => String::new(),
        }
    }
}

impl Role {
    fn of(ty: &Type) -> Self {
        match types::ungrouped(ty) {
            Type::Reference(reference)
                if reference.mutability.is_some() && types::is_named(&reference.elem, "KeyEvents") =>
            {
                Role::KeyEvents
            }
            Type::Reference(reference) if reference.mutability.is_some() => Role::Context,
            Type::Reference(reference) if types::is_named(&reference.elem, "Client") => Role::Client,
            Type::Reference(reference) if types::is_named(&reference.elem, "Request") => Role::Request,
            ty if types::is_named(ty, "Client") => Role::OwnedClient,
            ty if types::is_named(ty, "Responder") => Role::Responder,
            _ => Role::Argument,
        }
    }
}

/// Whether the attribute is `#[command]`, with any path.
pub(crate) fn is_command(attr: &Attribute) -> bool {
    attr.path().segments.last().is_some_and(|segment| segment.ident == "command")
}

/// Returns the `#[cfg]` attributes.
pub(crate) fn cfgs(attrs: &[Attribute]) -> impl Iterator<Item = &Attribute> {
    attrs.iter().filter(|attr| attr.path().is_ident("cfg"))
}

/// Returns the text of a doc attribute: one line, or several for `/** … */`.
fn doc(attr: &Attribute) -> Option<String> {
    match &attr.meta {
        Meta::NameValue(meta) if meta.path.is_ident("doc") => match &meta.value {
            Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value()),
            _ => None,
        },
        _ => None,
    }
}
