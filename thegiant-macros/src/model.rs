//! The syntax of an `impl` block with commands.

use syn::{Attribute, FnArg, ImplItem, ImplItemFn, ItemImpl, Pat, Type, ext::IdentExt};

use crate::{
    attr::{BlockAttr, CommandAttr, KeyAttr},
    docs::DocComment,
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
    pub(crate) docs: DocComment,
    pub(crate) function: &'a ImplItemFn,
    pub(crate) params: Vec<Param<'a>>,
}

/// A parameter after the receiver.
pub(crate) struct Param<'a> {
    pub(crate) pat: &'a Pat,
    pub(crate) ty: &'a Type,
    pub(crate) role: Role,
    /// How the command uses the keys of the parameter, if an attribute says so.
    pub(crate) key: Option<KeyAttr>,
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
            None => types::name(&self.item.self_ty)
                .to_lowercase()
                .replace(|char: char| !char.is_ascii_alphanumeric(), "_"),
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
        let params = function.sig.inputs.iter().filter_map(|input| Param::of(input, mistakes)).collect();
        let docs = DocComment::read(&function.attrs, mistakes);
        Some(Command { attr, docs, function, params })
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

    /// Returns the name in `COMMAND DOCS` of an argument that the doc comment describes.
    pub(crate) fn documented_name(&self, written: &str) -> String {
        let param = self.arguments().find(|param| param.is_called(written));
        param.map_or_else(|| written.replace('_', "-"), Param::name)
    }
}

impl<'a> Param<'a> {
    /// Returns `None` for the receiver.
    fn of(input: &'a FnArg, mistakes: &mut Mistakes) -> Option<Self> {
        match input {
            FnArg::Receiver(_) => None,
            FnArg::Typed(typed) => Some(Param {
                pat: &typed.pat,
                ty: &typed.ty,
                role: Role::of(&typed.ty),
                key: KeyAttr::read(&typed.attrs, mistakes),
            }),
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

    fn is_called(&self, name: &str) -> bool {
        matches!(self.pat, Pat::Ident(pat) if pat.ident.unraw() == name)
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

/// Returns whether the attribute is `#[command]`, with any path.
pub(crate) fn is_command(attr: &Attribute) -> bool {
    attr.path().segments.last().is_some_and(|segment| segment.ident == "command")
}

/// Returns the `#[cfg]` attributes.
pub(crate) fn cfgs(attrs: &[Attribute]) -> impl Iterator<Item = &Attribute> {
    attrs.iter().filter(|attr| attr.path().is_ident("cfg"))
}
